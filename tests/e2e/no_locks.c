/* Refuses every lock on files, as some network shares do. For programs that load it before all else. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <dlfcn.h>
#include <sys/file.h>
int flock(int fd, int operation) { errno = ENOLCK; return -1; }
static int locks(int command) { return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK; }
int fcntl(int fd, int command, ...) {
  va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
  if (locks(command)) { errno = ENOLCK; return -1; }
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl");
  return real(fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
  va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
  if (locks(command)) { errno = ENOLCK; return -1; }
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl64");
  return real(fd, command, argument);
}
