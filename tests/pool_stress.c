/* The pool under load, for the thread sanitizer: regions of all sizes, pauses in which its threads fall asleep, callers
 * at the same time, and a forked child. Prints "ok"; built and run by test_threads.py. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"

enum { REGIONS = 3000, CALLERS = 4 };

typedef struct region {
    int n, round;
    int done[FM_MAX_THREADS]; /* without atomics: the sanitizer sees whether the pool orders the accesses */
} region;

static void task(void *job, int i)
{
    region *r = job;
    r->done[i] += r->round;
}

static void fail(const char *what, int n)
{
    printf("%s (%d)\n", what, n);
    exit(1);
}

static void run_regions(int wanted, int rounds)
{
    region r = {0};
    for (r.round = 1; r.round <= rounds; r.round++) {
        const int granted = fm_pool_enter(wanted);
        if (granted < 1 || granted > wanted)
            fail("granted", granted);
        for (r.n = 1; r.n <= granted; r.n++) {
            for (int i = 0; i < FM_MAX_THREADS; i++)
                r.done[i] = 0;
            fm_pool_run(r.n, task, &r);
            for (int i = 0; i < FM_MAX_THREADS; i++)
                if (r.done[i] != (i < r.n ? r.round : 0))
                    fail("a task ran another number of times than once", r.done[i]);
        }
        fm_pool_leave(granted);
        if (r.round % 500 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static void *caller(void *wanted)
{
    run_regions(*(int *)wanted, REGIONS / 4);
    return NULL;
}

static void run_callers(void)
{
    pthread_t threads[CALLERS];
    int wanted[CALLERS] = {2, 4, 7, 8};
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, caller, &wanted[i]);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    run_regions(3, REGIONS);
    run_regions(FM_MAX_THREADS, 20);
    run_callers();
    const int granted = fm_pool_enter(3); /* the child does not know of this call */
    const pid_t child = fork();
    if (child == 0) {
        if (fm_pool_enter(2) != 2)
            fail("the child's pool is taken", 0);
        fm_pool_leave(2);
        run_regions(3, REGIONS / 10);
        _exit(0);
    }
    fm_pool_leave(granted);
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("child", status);
    run_regions(3, REGIONS / 10);
    puts("ok");
    return 0;
}
