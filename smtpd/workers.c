/* workers.c - threads for work that takes long: the event loop goes on meanwhile
 *
 * Runs in heloise-auth. Threads are started with the first work, after confinement. */
#include "smtpd/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/loop.h"

#define THREADS 4 /* password hashes take 16 MB of memory each, and a processor */

struct line {
  struct work *first, *last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct line waiting, finished;
static int bell = -1;      /* eventfd: something is finished */
static unsigned int count; /* waiting, running or finished; the loop's alone */
static unsigned int threads;

static void push(struct line *l, struct work *w)
{
  w->next = NULL;
  if (l->last)
    l->last->next = w;
  else
    l->first = w;
  l->last = w;
}

static struct work *pop(struct line *l)
{
  struct work *w = l->first;

  if (w)
    l->first = w->next;
  if (!l->first)
    l->last = NULL;
  return w;
}

static void *serve(void *arg)
{
  const uint64_t one = 1;

  pthread_mutex_lock(&lock);
  for (;;) {
    struct work *w = pop(&waiting);
    if (!w) {
      pthread_cond_wait(&more, &lock);
      continue;
    }
    pthread_mutex_unlock(&lock);
    w->run(w);
    pthread_mutex_lock(&lock);
    push(&finished, w);
    while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
      ;
  }
  return arg;
}

static void on_bell(struct loop_handler *h, int fd, int events)
{
  uint64_t n;

  (void)h;
  (void)events;
  while (read(fd, &n, sizeof n) > 0)
    ;
  loop_drained(fd, LOOP_READ);
  for (;;) {
    struct work *w;
    pthread_mutex_lock(&lock);
    w = pop(&finished);
    pthread_mutex_unlock(&lock);
    if (!w)
      return;
    count--;
    w->done(w);
  }
}

static int open_bell(void)
{
  static struct loop_handler handler = {on_bell};

  if (bell >= 0)
    return 0;
  bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (bell < 0 || loop_add(bell, &handler) != 0) {
    if (bell >= 0)
      close(bell);
    bell = -1;
    return -1;
  }
  loop_want(bell, LOOP_READ);
  return 0;
}

/* one more thread, if there may be; signals are for the loop's */
static void start_thread(void)
{
  sigset_t all, before;
  pthread_t t;

  if (threads == THREADS || threads >= count)
    return;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  if (pthread_create(&t, NULL, serve, NULL) == 0) {
    pthread_detach(t);
    threads++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int workers_add(struct work *w)
{
  if (count >= WORKERS_WAITING || open_bell() != 0)
    return -1;
  count++;
  start_thread();
  if (threads == 0) {
    count--;
    return -1;
  }
  pthread_mutex_lock(&lock);
  push(&waiting, w);
  pthread_cond_signal(&more);
  pthread_mutex_unlock(&lock);
  return 0;
}
