#define TIPOFF_ISA avx512
#define TIPOFF_ISA_NAME "avx512"
#define TIPOFF_WIDTH 8
#include "kernels.inl"
