// The one file that holds doctest's main; every other file of this folder holds tests.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
