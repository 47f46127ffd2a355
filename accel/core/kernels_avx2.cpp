#define TIPOFF_ISA avx2
#define TIPOFF_ISA_NAME "avx2"
#define TIPOFF_WIDTH 4
#include "kernels.inl"
