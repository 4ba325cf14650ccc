/* Functions of the C library that an attack replaces, through LD_PRELOAD, in processes that it starts.

   ATTACK_CLOCK=SECONDS     the clock of the day is so much late, right and early, each for a second
   ATTACK_LOCKS=ERRNO:PATH  flock fails with ERRNO for files below PATH, as in a folder without locks */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jump(void) {
    struct timespec now;
    const char *seconds = getenv("ATTACK_CLOCK");
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return seconds ? atol(seconds) * (now.tv_sec % 3 - 1) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int code = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += jump();
    return code;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec, time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return out ? *out = now.tv_sec : now.tv_sec;
}

int flock(int file, int operation) {
    const char *without = getenv("ATTACK_LOCKS"), *folder = without ? strchr(without, ':') : NULL;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = folder ? readlink(link, path, sizeof path - 1) : -1;
    if (length > 0 && strncmp(path, folder + 1, strlen(folder + 1)) == 0) {
        errno = atoi(without);
        return -1;
    }
    return syscall(SYS_flock, file, operation);
}
