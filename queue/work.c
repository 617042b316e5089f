/* work.c - messages being worked on: which, and how they are taken up
 *
 * Runs in the manager. Envelopes are hostile until envelope_read() took them. */
#include "queue/work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "common/retry.h"
#include "queue/clock.h"
#include "queue/due.h"
#include "queue/flush.h"
#include "queue/line.h"
#include "queue/recovery.h"
#include "queue/waiting.h"
#include "queue/work_parts.h"

#define WORK_EACH 5000     /* messages being worked on, of those new, and of the others */
#define LONG_LIST 100      /* recipients: a message with more is a long list */
#define WORK_SHORT 250000  /* recipients of all that are not; one message more at most */
#define WORK_LONG 500000   /* and of long lists: however many there are, other mail goes on */
#define TURN_READS 100     /* messages taken up in one turn */
#define TURN_LOOKS 5000    /* messages looked at in one turn, those that wait outside included */

int work_queue = -1;
static struct work *works;
static size_t working[LANES], recipients[2]; /* of all but long lists, of these */

void work_open(int fd)
{
  work_queue = fd;
}

/* none while the disk does not keep up with what leaves the journal */
static size_t room(enum lane_kind lane)
{
  return flush_is_behind() || recipients[0] >= WORK_SHORT || working[lane] >= WORK_EACH ? 0 : WORK_EACH - working[lane];
}

struct work *work_find(uint32_t handle)
{
  struct work *w = works;

  while (w && w->handle != handle)
    w = w->next;
  return w;
}

void work_free(struct work *w)
{
  loop_timer_stop(&w->again);
  due_forget(w);
  waiting_at(w->handle)->is_active = 0;
  recipients[w->weight > LONG_LIST] -= w->weight;
  working[w->is_again ? LANE_AGAIN : LANE_NEW]--;
  if (w->fd >= 0)
    close(w->fd);
  if (w->prev)
    w->prev->next = w->next;
  else
    works = w->next;
  if (w->next)
    w->next->prev = w->prev;
  envelope_free(&w->e);
  free(w->give_up);
  free(w->story.s);
  free(w->held);
  free(w->due);
  free(w);
}

void work_forget(struct work *w)
{
  uint32_t handle = w->handle;

  work_free(w);
  waiting_drop(handle);
}

void work_status(struct work *w, size_t i, enum rcpt_status s)
{
  struct envelope_rcpt *r = &w->e.rcpt[i];

  w->todo -= r->status == RCPT_TODO;
  w->open -= !envelope_is_closed(r->status);
  r->status = s;
  w->todo += s == RCPT_TODO;
  w->open += !envelope_is_closed(s);
}

/* ---- taken up */

/* reads the message's envelope. 0; -1 when it could not be, and what then is done is done */
static int read_message(struct work *w, int is_unverified)
{
  const char *why;
  int r = store_read(work_queue, &w->name, is_unverified, &w->e, &why), saved = errno;

  if (r != 0 && saved == EBADMSG && store_corrupt(work_queue, &w->name, why) != 0)
    saved = errno == EBADMSG ? EIO : errno; /* it is still there: put aside later */
  errno = saved;
  return r;
}

/* what could not be read: put aside already, gone, or to be tried again */
static void unread(struct work *w)
{
  uint32_t handle = w->handle;

  if (errno == EBADMSG || errno == ENOENT) {
    if (errno == ENOENT)
      log_finished(w->name.id, "its file is gone");
    work_forget(w);
    return;
  }
  log_failed("queue", w->name.id, strerror(errno));
  work_free(w);
  waiting_until(handle, (uint32_t)clock_steady() + AGAIN_LATER);
}

static struct work *new_work(uint32_t handle)
{
  struct waiting *rec = waiting_at(handle);
  struct work *w = calloc(1, sizeof *w);

  if (!w)
    return NULL;
  w->is_again = schedule_lane(handle) == LANE_AGAIN;
  w->is_hurried = rec->is_hurried;
  w->is_released = rec->is_released;
  line_leave(handle);
  waiting_take(handle);
  rec->is_hurried = rec->is_released = rec->is_owed = 0;
  rec->is_active = 1;
  w->handle = handle;
  w->fd = -1;
  waiting_name(handle, &w->name);
  w->next = works;
  if (works)
    works->prev = w;
  works = w;
  working[w->is_again ? LANE_AGAIN : LANE_NEW]++;
  return w;
}

/* a long list, when there are enough of them: it is read again later */
static void put_off(struct work *w)
{
  uint32_t handle = w->handle;
  struct waiting *rec = waiting_at(handle);

  rec->is_hurried = w->is_hurried;
  rec->is_released = w->is_released;
  work_free(w);
  waiting_until(handle, (uint32_t)clock_steady() + AGAIN_SOON);
}

static void begin(uint32_t handle)
{
  struct work *w = new_work(handle);
  struct waiting *rec = waiting_at(handle);

  if (!w) {
    waiting_until(handle, (uint32_t)clock_steady() + AGAIN_SOON);
    return;
  }
  if (read_message(w, rec->is_unverified) != 0) {
    unread(w);
    return;
  }
  if (w->e.nrcpt > LONG_LIST && recipients[1] >= WORK_LONG) {
    put_off(w);
    return;
  }
  w->weight = w->e.nrcpt;
  recipients[w->weight > LONG_LIST] += w->weight;
  rec->is_unverified = 0;
  if (w->e.doubtful > 0)
    log_failed("queue", w->name.id, "marks of recipients are damaged; these are tried again");
  work_begin_clock(w, rec);
  for (size_t i = 0; i < w->e.nrcpt; i++) {
    w->todo += w->e.rcpt[i].status == RCPT_TODO;
    w->open += !envelope_is_closed(w->e.rcpt[i].status);
  }
  if (w->e.content & CONTENT_LOOP)
    due_refuse(w, "5.4.6 the message has passed too many hops: it is looping");
  if (w->e.content & CONTENT_TOO_BIG)
    due_refuse(w, "5.3.4 the message is larger than message-size-limit");
  w->held = malloc(w->e.nrcpt);
  if (!w->held) {
    work_free(w);
    waiting_until(handle, (uint32_t)clock_steady() + AGAIN_SOON);
    return;
  }
  memset(w->held, w->name.hop & STORE_HELD ? 1 : 0, w->e.nrcpt);
  /* that it was released is in its name, which is then that of one that waits */
  if ((w->e.flags & ENVELOPE_HOLD) &&
      (w->name.state == STORE_NEW || w->name.state == STORE_FLIGHT))
    w->is_held = 1;
  else
    due_begin(w);
  work_settle(w);
}

/* until when a message may wait outside without being read: its life is not over before */
static uint64_t blind_until(const struct waiting *rec)
{
  static const struct table *of;
  static struct retry_bounds bounds;
  uint64_t birth = rec->born ? clock_to_wall(rec->born)
                             : store_id_time(rec->id) + (uint64_t)clock_skew(rec->made_at);

  if (rec->look)
    return rec->look;
  if (of != program_table()) {
    of = program_table();
    retry_bounds(of, &bounds);
  }
  return clock_to_steady((birth < clock_wall() ? birth : clock_wall()) + bounds.look);
}

/* whether it may wait outside without being read, though it is due: that it is down, those never tried
 * shall hear of first */
static int waits_blind(const struct waiting *rec, enum lane_kind lane)
{
  uint32_t hop = rec->hop & ~(uint32_t)STORE_HELD;
  const char *why;
  uint64_t probe;

  return hop != 0 && !rec->is_owed && rec->line != LINE_DUE && rec->line != LINE_NEW &&
         recovery_is_shut(hop, lane, rec->is_hurried) && blind_until(rec) > clock_steady() &&
         !(lane == LANE_NEW && recovery_is_down(hop, &why, &probe));
}

/* what is due is taken up, or waits outside. Whether it was read. */
static int take_up(uint32_t handle)
{
  struct waiting *rec = waiting_at(handle);
  enum lane_kind lane = schedule_lane(handle);

  if (waits_blind(rec, lane)) {
    recovery_park(rec->hop & ~(uint32_t)STORE_HELD, handle, (uint32_t)blind_until(rec));
    return 0;
  }
  if (room(lane) > 0) {
    begin(handle);
    return 1;
  }
  line_join(handle, 0, lane == LANE_NEW ? LINE_NEW : LINE_DUE);
  waiting_take(handle);
  return 0;
}

/* those that waited for room here */
static void call_in(void)
{
  static const enum line_kind line[] = {[LANE_NEW] = LINE_NEW, [LANE_AGAIN] = LINE_DUE};

  for (int lane = 0; lane < LANES; lane++)
    for (size_t n = room((enum lane_kind)lane); n > 0; n--) {
      uint32_t h = line_first(0, line[lane]);
      if (h == WAITING_NONE || n + TURN_READS < room((enum lane_kind)lane))
        break;
      line_leave(h);
      waiting_until(h, 0);
    }
}

int work_turn(void)
{
  uint32_t h;
  int reads = 0, looks = 0;

  due_turn();
  call_in();
  while ((h = waiting_first()) != WAITING_NONE && waiting_at(h)->due <= clock_steady() &&
         waiting_at(h)->due != WAITING_NEVER) {
    if (reads >= TURN_READS || looks++ >= TURN_LOOKS)
      return 1;
    reads += take_up(h);
  }
  return due_has_more(); /* what was taken up just now may be too long for one turn */
}

/* ---- what an administrator orders */

/* no more attempts are begun: what is done to it is done now, or when those that run end */
static void stop_short(struct work *w)
{
  due_forget(w);
  schedule_withdraw(w);
  work_settle(w);
}

void work_remove(struct work *w)
{
  w->is_removed = 1;
  stop_short(w);
}

void work_hold(struct work *w)
{
  w->is_held = 1;
  stop_short(w);
}

int work_release(struct work *w)
{
  int was_held = w->is_held;

  w->is_held = 0;
  return was_held;
}

int work_bounce(struct work *w, const char *text)
{
  char *copy = strdup(text);

  if (!copy)
    return -1;
  free(w->give_up);
  w->give_up = copy;
  stop_short(w);
  return 0;
}
