// Functions that sums of exponentials need and that are not among the numbers': logarithms in f64 and near one.

#pragma once

#include "common/numbers.cuh"

#ifdef LACUNA_EMULATOR
inline double logarithm(double x) { return std::log(x); }
inline float logarithm_of_one_plus(float x) { return std::log1p(x); }
inline float absolute(float x) { return std::fabs(x); }
#else
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ float logarithm_of_one_plus(float x) { return log1pf(x); }
__device__ __forceinline__ float absolute(float x) { return fabsf(x); }
#endif
