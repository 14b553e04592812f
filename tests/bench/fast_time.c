/* Lets time pass faster for the processes that load it, so that a day of a daemon takes minutes.
 *
 * FAST_TIME holds "factor real-start monotonic-start" (seconds). Clocks run on from there by the factor, and every wait
 * is shorter by it. What a processor or a disk takes stays as it is. For programs of this folder only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static double factor = 1.0, start[2];

__attribute__((constructor)) static void read_settings(void) {
    const char *said = getenv("FAST_TIME");
    if (said != NULL)
        sscanf(said, "%lf %lf %lf", &factor, &start[0], &start[1]);
}

static double to_seconds(const struct timespec *when) { return when->tv_sec + when->tv_nsec / 1e9; }

static struct timespec to_timespec(double seconds) {
    struct timespec found;
    if (seconds < 0)
        seconds = 0;
    found.tv_sec = (time_t)seconds;
    found.tv_nsec = (long)((seconds - found.tv_sec) * 1e9);
    return found;
}

/* Which start belongs to a clock; -1 for clocks of the processor, which stay as they are. */
static int find_start(clockid_t id) {
    switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        return 1;
    default:
        return -1;
    }
}

int clock_gettime(clockid_t id, struct timespec *when) {
    int result = syscall(SYS_clock_gettime, id, when), which = find_start(id);
    if (result == 0 && which >= 0)
        *when = to_timespec(start[which] + (to_seconds(when) - start[which]) * factor);
    return result;
}

time_t time(time_t *there) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (there != NULL)
        *there = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict when, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    when->tv_sec = now.tv_sec;
    when->tv_usec = now.tv_nsec / 1000;
    return 0;
}

/* ---- waits for so long */

int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout, const sigset_t *mask) {
    struct timespec wait = to_timespec(timeout / 1e3 / factor);
    return syscall(SYS_epoll_pwait2, epoll, events, most, timeout < 0 ? NULL : &wait, mask, 8L); /* bytes of the mask */
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    return epoll_pwait(epoll, events, most, timeout, NULL);
}

int poll(struct pollfd *files, nfds_t count, int timeout) {
    struct timespec wait = to_timespec(timeout / 1e3 / factor);
    return ppoll(files, count, timeout < 0 ? NULL : &wait, NULL);
}

int nanosleep(const struct timespec *wait, struct timespec *rest) {
    struct timespec shorter = to_timespec(to_seconds(wait) / factor);
    return syscall(SYS_nanosleep, &shorter, rest);
}

int usleep(useconds_t wait) {
    struct timespec longer = to_timespec(wait / 1e6);
    return nanosleep(&longer, NULL);
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *wait, struct timespec *rest) {
    struct timespec until = *wait, now;
    if (flags & TIMER_ABSTIME) {
        clock_gettime(id, &now);
        until = to_timespec(to_seconds(wait) - to_seconds(&now));
    }
    return nanosleep(&until, rest);
}

/* ---- waits until a time; which clock it is of shows by its size */

static struct timespec find_true_time(const struct timespec *until) {
    double since = start[until->tv_sec > 1000000000 ? 0 : 1];
    return to_timespec(since + (to_seconds(until) - since) / factor);
}

int pthread_cond_timedwait(pthread_cond_t *restrict there, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec truly = find_true_time(until);
    if (wait == NULL)
        wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    return wait(there, lock, &truly);
}

int sem_timedwait(sem_t *restrict there, const struct timespec *restrict until) {
    static int (*wait)(sem_t *, const struct timespec *);
    struct timespec truly = find_true_time(until);
    if (wait == NULL)
        wait = dlsym(RTLD_NEXT, "sem_timedwait");
    return wait(there, &truly);
}

int sem_clockwait(sem_t *restrict there, clockid_t id, const struct timespec *restrict until) {
    static int (*wait)(sem_t *, clockid_t, const struct timespec *);
    struct timespec truly = find_true_time(until);
    if (wait == NULL)
        wait = dlsym(RTLD_NEXT, "sem_clockwait");
    return wait(there, id, &truly);
}
