/* aside.c - a second thread beside the loop, for what takes its time on a disk */
#include "common/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int aside_start(void *(*run)(void *arg), size_t stack, struct loop_handler *h, int *bell)
{
  pthread_attr_t attr;
  pthread_t id;
  int r;

  *bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (*bell < 0 || loop_add(*bell, h) != 0)
    return -1;
  loop_want(*bell, LOOP_READ);
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, stack);
  r = pthread_create(&id, &attr, run, NULL);
  pthread_attr_destroy(&attr);
  errno = r;
  return r ? -1 : 0;
}

void aside_ring(int bell)
{
  uint64_t one = 1;

  if (write(bell, &one, sizeof one) != sizeof one)
    abort(); /* an eventfd takes every 1 */
}

int aside_was_rung(int bell)
{
  uint64_t n;

  if (read(bell, &n, sizeof n) == sizeof n)
    return 1;
  loop_drained(bell, LOOP_READ);
  return 0;
}
