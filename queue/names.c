/* names.c - the names of all messages are read: at the start, and when news was missed
 *
 * Runs in the manager. Names found on disk are hostile until the store has parsed them. Nobody
 * else moves messages, and a directory is read within one turn: a name that is found is good. */
#include "queue/names.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "queue/store.h"
#include "queue/store_flight.h"
#include "queue/waiting.h"

#define AGAIN_MS 5000
#define AT_ONCE 16384 /* names in a turn, and not less than a directory: of a million it has as many */

static int queue_fd = -1;
static const struct names_keeper *keeper;
static uint64_t todo[STORE_DIRS]; /* a bit per directory */
static uint32_t failed;             /* states of which some directory could not be read */
static enum { AT_REST, READING, WAKING } step;
static uint32_t woken;              /* handles up to here */
static uint32_t names;              /* in this turn */
static struct loop_timer again;

static void on_again(struct loop_timer *t)
{
  (void)t;
  names_read(failed);
}

void names_open(int fd, const struct names_keeper *k)
{
  queue_fd = fd;
  keeper = k;
  again.fire = on_again;
}

void names_read(uint32_t states)
{
  for (int s = 0; s < STORE_DIRS; s++)
    if (states & 1U << s) {
      todo[s] = UINT64_MAX;
      failed &= ~(1U << s);
    }
  step = READING;
}

static int is_there(const struct store_name *n)
{
  int fd = store_open(queue_fd, n, O_RDONLY);

  if (fd >= 0)
    close(fd);
  return fd >= 0;
}

/* its name is another now */
static void rename_known(uint32_t h, const struct store_name *found)
{
  int is_scheduled = !waiting_at(h)->is_active && !waiting_at(h)->is_asleep;

  waiting_moved(h, found);
  if (is_scheduled)
    keeper->wake(h);
}

/* a name that is not the one we know of. When both files are there, one goes to corrupt/: the one
 * that was tried is the message */
static void meet_twin(uint32_t h, const struct store_name *found)
{
  struct store_name known;

  waiting_name(h, &known);
  if (!is_there(&known) || (known.state == STORE_NEW && found->state != STORE_NEW)) {
    if (waiting_at(h)->is_active)
      return; /* whoever works on it moves it */
    rename_known(h, found);
    if (!is_there(&known))
      return;
  } else {
    known = *found;
  }
  store_corrupt(queue_fd, &known, "its id is that of another message");
}

static int found(void *arg, const struct store_name *n)
{
  struct store_name known;
  uint32_t h;

  (void)arg;
  names++;
  if (flight_is_known(queue_fd, n->id))
    return 0; /* we know of it, or it is done with and its file goes when the journal knows that */
  h = waiting_add_asleep(n);
  if (h == WAITING_NONE) {
    log_failed("queue", n->id, "out of memory; the message waits for the next start");
    return 0;
  }
  waiting_name(h, &known);
  if (!store_is_same(&known, n))
    meet_twin(h, n);
  if (waiting_at(h)->is_asleep)
    waiting_at(h)->is_unverified = 1;
  return 0;
}

/* the next few directories; whether more are to be read */
static int read_some(void)
{
  names = 0;
  for (int s = 0; s < STORE_DIRS; s++)
    for (unsigned int b = 0; todo[s] && b < STORE_BUCKETS; b++) {
      if (!(todo[s] & (uint64_t)1 << b))
        continue;
      if (names >= AT_ONCE)
        return 1;
      todo[s] &= ~((uint64_t)1 << b);
      if (store_scan_dir(queue_fd, (enum store_state)s, b, 1, found, NULL) != 0)
        failed |= 1U << s;
    }
  return 0;
}

/* the next few that sleep are put into the schedule; whether more may be asleep */
static int wake_some(void)
{
  for (uint32_t n = 0; n < AT_ONCE && woken < waiting_slots(); n++, woken++)
    if (waiting_at(woken)->is_used && waiting_at(woken)->is_asleep)
      keeper->wake(woken);
  return woken < waiting_slots();
}

static void end_reading(void)
{
  for (int s = 0; s < STORE_DIRS; s++)
    if (failed & 1U << s)
      log_failed("queue", store_state_word((enum store_state)s), "cannot be read whole; read again soon");
  if (failed)
    loop_timer_in(&again, AGAIN_MS);
  step = WAKING;
  woken = 0;
  keeper->read();
}

int names_turn(void)
{
  if (step == READING && !read_some())
    end_reading();
  else if (step == WAKING && !wake_some()) {
    step = AT_REST;
    keeper->awake();
  }
  return step != AT_REST;
}
