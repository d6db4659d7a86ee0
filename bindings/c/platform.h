/* What differs between systems: a monotonic clock, a lock, thread-local storage. */
#ifndef INH_PLATFORM_H
#define INH_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK inh_lock;
#define INH_LOCK_INIT SRWLOCK_INIT
#define INH_THREAD_LOCAL __declspec(thread)
static inline void inh_lock_take(inh_lock *lock) { AcquireSRWLockExclusive(lock); }
static inline bool inh_lock_try(inh_lock *lock) { return TryAcquireSRWLockExclusive(lock) != 0; }
static inline void inh_lock_give(inh_lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline int64_t inh_now_ns(void) {
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    return ticks.QuadPart / rate.QuadPart * 1000000000 + ticks.QuadPart % rate.QuadPart * 1000000000 / rate.QuadPart;
}
#else
#include <pthread.h>
#include <time.h>

typedef pthread_mutex_t inh_lock;
#define INH_LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define INH_THREAD_LOCAL _Thread_local
static inline void inh_lock_take(inh_lock *lock) { pthread_mutex_lock(lock); }
static inline bool inh_lock_try(inh_lock *lock) { return pthread_mutex_trylock(lock) == 0; }
static inline void inh_lock_give(inh_lock *lock) { pthread_mutex_unlock(lock); }
static inline int64_t inh_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

#endif
