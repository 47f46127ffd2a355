#define TIPOFF_ISA baseline
#define TIPOFF_ISA_NAME "baseline"
#define TIPOFF_WIDTH 2
#include "kernels.inl"
