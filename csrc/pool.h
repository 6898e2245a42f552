/* The thread pool: fork and join, one region at a time. Threads start when a region first wants them, and wait for the
 * next one: in a short loop first, then asleep. A forked child has a pool of its own. Where there are no POSIX threads
 * (Windows), everything runs on the caller. */
#ifndef FM_POOL_H
#define FM_POOL_H

/* Most threads of a call: the tasks of a region are bits of one word. */
#define FM_MAX_THREADS 64

#if defined(_WIN32)
typedef long long fm_counter;
#else
#include <stdatomic.h>
typedef atomic_llong fm_counter;
#endif
#include <stdint.h>

typedef void fm_task(void *job, int index);

/* Begin a call that wants so many threads, its own included; returns how many it may use until fm_pool_leave, at least
 * 1. Callers that are inside at the same time count: two that want two threads each get one, and the pool serves a
 * single caller, the others run alone. */
int fm_pool_enter(int wanted);
void fm_pool_leave(int granted);

/* Run task(job, i) for i = 0 ... n-1, n at most what fm_pool_enter granted, and return when all have returned. The
 * caller takes part, and runs what no other thread has begun: it waits for no thread to wake up. */
void fm_pool_run(int n, fm_task *task, void *job);

/* Count: each call, from whatever thread, returns another of 0, 1, 2 ... */
int64_t fm_pool_next(fm_counter *counter);

#endif
