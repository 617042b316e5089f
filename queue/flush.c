/* flush.c - deliveries reach the disk within a second
 *
 * Runs in the manager. The thread touches nothing but the bits handed to it and the
 * directories. */
#include "queue/flush.h"

#include <errno.h>
#include <pthread.h>

#include "common/loop.h"

#define DELAY_MS 900

static int queue_fd = -1;
static struct loop_timer timer;
static uint64_t dirty[STORE_STATES]; /* a bit per directory */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  uint64_t dirty[STORE_STATES];
  int is_wanted;
} thread = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0};

static void *flusher(void *arg)
{
  uint64_t mine[STORE_STATES];

  pthread_mutex_lock(&thread.lock);
  for (;;) {
    while (!thread.is_wanted)
      pthread_cond_wait(&thread.wake, &thread.lock);
    for (int s = 0; s < STORE_STATES; s++) {
      mine[s] = thread.dirty[s];
      thread.dirty[s] = 0;
    }
    thread.is_wanted = 0;
    pthread_mutex_unlock(&thread.lock);
    for (int s = 0; s < STORE_STATES; s++)
      store_flush(queue_fd, (enum store_state)s, mine[s]); /* what it cannot hold may be delivered again, no more */
    pthread_mutex_lock(&thread.lock);
  }
  return arg;
}

static void hand_over(struct loop_timer *t)
{
  (void)t;
  pthread_mutex_lock(&thread.lock);
  for (int s = 0; s < STORE_STATES; s++) {
    thread.dirty[s] |= dirty[s];
    dirty[s] = 0;
  }
  thread.is_wanted = 1;
  pthread_cond_signal(&thread.wake);
  pthread_mutex_unlock(&thread.lock);
}

int flush_start(int fd)
{
  pthread_attr_t attr;
  pthread_t id;
  int r;

  queue_fd = fd;
  timer.fire = hand_over;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 128 * 1024);
  r = pthread_create(&id, &attr, flusher, NULL);
  pthread_attr_destroy(&attr);
  errno = r;
  return r ? -1 : 0;
}

void flush_soon(const struct store_name *n)
{
  dirty[n->state] |= store_bucket_bit(n);
  if (timer.place == 0)
    loop_timer_in(&timer, DELAY_MS);
}
