/* work_settle.c - messages being worked on: what becomes of them when no job is left
 *
 * Runs in the manager. Marks in the file come before anything else is told: a kill after a
 * mark never repeats a delivery. */
#include "queue/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "common/retry.h"
#include "queue/clock.h"
#include "queue/destination.h"
#include "queue/due.h"
#include "queue/flush.h"
#include "queue/history.h"
#include "queue/line.h"
#include "queue/owed.h"
#include "queue/recovery.h"
#include "queue/transcript.h"
#include "queue/waiting.h"
#include "queue/work_parts.h"

/* ---- its file, and the marks in it */

/* a message that is in the journal becomes a file, with all that is known of it. 0, or -1 */
int work_file_as(struct work *w, enum store_state s, uint32_t next, uint32_t hop)
{
  const struct store_filing f = {s, next, hop, &w->e, &w->story};

  if (store_file(work_queue, &w->name, &f) != 0) {
    log_failed("queue", w->name.id, strerror(errno));
    return -1;
  }
  waiting_moved(w->handle, &w->name);
  w->is_changed = w->is_unmarked = 0;
  w->needs_flush = 0; /* flush.c is at it */
  w->story.len = 0;
  return 0;
}

int work_to_file(struct work *w)
{
  return work_is_in_journal(w) ? work_file_as(w, STORE_NEW, 0, 0) : 0;
}

int work_file(uint32_t handle)
{
  struct work *w = waiting_at(handle)->is_active ? work_find(handle) : NULL;
  struct store_name n;

  if (w)
    return work_file_as(w, STORE_NEW, 0, 0);
  waiting_name(handle, &n);
  if (store_move(work_queue, &n, STORE_NEW, 0, 0) != 0)
    return -1;
  waiting_moved(handle, &n);
  return 0;
}

/* opens the file for marks; 0, or -1 */
static int open_for_marks(struct work *w)
{
  if (w->fd < 0)
    w->fd = store_open(work_queue, &w->name, O_RDWR);
  return w->fd < 0 ? -1 : 0;
}

void work_mark(struct work *w, size_t i)
{
  int is_over = w->e.rcpt[i].status != RCPT_TODO;

  w->is_changed = 1;
  if (work_is_in_journal(w)) {
    w->is_unmarked |= is_over; /* until it is filed, or done with */
    return;
  }
  w->needs_flush |= is_over;
  if (open_for_marks(w) == 0 && envelope_mark(w->fd, &w->e, i) == 0)
    return;
  log_failed("queue", w->name.id, strerror(errno));
  w->is_unmarked |= is_over;
}

void work_story(struct work *w, const stralloc *lines)
{
  if (w->is_gone || lines->len == 0)
    return;
  if (work_is_in_journal(w))
    stralloc_cat(&w->story, lines);
  else if (open_for_marks(w) == 0)
    history_append(w->fd, &w->e, lines);
}

static void on_again(struct loop_timer *t)
{
  work_settle((struct work *)((char *)t - offsetof(struct work, again)));
}

/* keeps the message in memory: it must not be read again before the disk knows what is done, or
 * it would be delivered again and again */
static void keep(struct work *w)
{
  w->again.fire = on_again;
  loop_timer_in(&w->again, AGAIN_SOON * 1000);
}

/* writes marks that could not be written. 0, or -1 */
static int mark_again(struct work *w)
{
  w->is_unmarked = 0;
  for (size_t i = 0; i < w->e.nrcpt; i++)
    if (w->e.rcpt[i].status != RCPT_TODO)
      work_mark(w, i);
  return w->is_unmarked ? -1 : 0;
}

/* ---- it leaves, or waits */

static void leave(struct work *w, const char *reason)
{
  if (!w->is_gone && store_remove(work_queue, &w->name) != 0 && errno != ENOENT) {
    log_failed("queue", w->name.id, strerror(errno));
    keep(w);
    return;
  }
  if (!work_is_first_attempt(w) || w->has_transcript)
    transcript_left(work_queue, w->name.id);
  if (!w->is_gone)
    flush_soon(&w->name);
  log_finished(w->name.id, reason);
  work_forget(w);
}

/* the next hop's hash when all recipients still to do have the same, with STORE_HELD when they
 * wait because of the host alone; else 0 */
static uint32_t common_hop(const struct work *w)
{
  static stralloc text; /* bound: a next hop's text */
  const char *domain = NULL;
  struct nexthop h;
  uint32_t hop = 0, hash, held = STORE_HELD;

  for (size_t i = 0; i < w->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &w->e.rcpt[i];
    if (r->status != RCPT_TODO)
      continue;
    held &= w->held[i];
    if (domain && strcmp(domain, envelope_domain(r->address)) == 0)
      continue;
    domain = envelope_domain(r->address);
    if (destination_of(program_table(), r->address, &h, &text, NULL) != 0)
      return 0;
    hash = store_hop_hash(text.s, text.len);
    if (hop != 0 && hop != hash)
      return 0;
    hop = hash;
  }
  return hop ? hop | held : 0;
}

/* the earliest next attempt among recipients still to do; those that come after `after` */
static uint64_t earliest(const struct work *w, uint64_t after)
{
  uint64_t next = UINT64_MAX;

  for (size_t i = 0; i < w->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &w->e.rcpt[i];
    if (r->status == RCPT_TODO && r->next < next && r->next >= after)
      next = r->next;
  }
  return next;
}

/* when a message that waits must be read, whatever it waits for: its life is over, or its sender is
 * owed word */
static void note_look(struct work *w)
{
  uint64_t look = owed_next(w);

  for (size_t i = 0; i < w->e.nrcpt; i++) {
    struct retry_message m;
    struct retry r;
    if (w->e.rcpt[i].status != RCPT_TODO)
      continue;
    work_schedule(w, i, &r, &m);
    if (retry_end(&r, &m) < look)
      look = retry_end(&r, &m);
  }
  waiting_at(w->handle)->look = look >= WAITING_NEVER ? WAITING_NEVER : (uint32_t)clock_to_steady(look);
}

/* it waits for its time, and for its host where that alone is the reason */
static void rest(struct work *w, uint32_t due)
{
  uint32_t handle = w->handle, hop = w->name.hop;
  int is_held = w->name.state == STORE_CUR && (hop & STORE_HELD);

  note_look(w);
  waiting_until(handle, due == WAITING_NEVER || w->is_held /* its name keeps the time */
                          ? WAITING_NEVER : (uint32_t)clock_to_steady(due));
  work_free(w);
  if (is_held)
    line_join(handle, hop & ~(uint32_t)STORE_HELD, LINE_HELD);
}

static void wait_again(struct work *w, uint64_t next, int is_owed)
{
  uint32_t due = next >= WAITING_NEVER ? WAITING_NEVER : (uint32_t)next, hop = common_hop(w);
  enum store_state s = due == WAITING_NEVER || w->is_held ? STORE_HOLD : STORE_CUR;

  waiting_at(w->handle)->is_owed = is_owed != 0;
  if (work_is_in_journal(w)) {
    if ((w->is_changed || w->is_held) && work_file_as(w, s, due, hop) != 0 && (w->is_unmarked || w->is_held)) {
      keep(w);
      return;
    }
    waiting_at(w->handle)->is_unverified = !work_is_in_journal(w);
    rest(w, due); /* if it cannot be filed now, the journal has it */
    return;
  }
  if (w->needs_flush && w->fd >= 0 && fdatasync(w->fd) != 0)
    log_failed("queue", w->name.id, strerror(errno)); /* marks may repeat: at least once */
  if (store_move(work_queue, &w->name, s, due, hop) != 0) {
    log_failed("queue", w->name.id, strerror(errno));
    if (w->is_held) { /* it would be tried again after a restart */
      keep(w);
      return;
    }
  } else
    waiting_moved(w->handle, &w->name);
  waiting_at(w->handle)->is_unverified = 1; /* a disk has time to change things */
  rest(w, due);
}

static size_t first_todo(const struct work *w)
{
  size_t i = 0;

  while (i + 1 < w->e.nrcpt && w->e.rcpt[i].status != RCPT_TODO)
    i++;
  return i;
}

/* some recipients are due and were not tried: the message stays as it is, and waits for its
 * destination, but not past the time of the others, nor past its life; or not at all, when it has another
 * one now */
static void park(struct work *w)
{
  uint64_t until = earliest(w, clock_wall() + 1);
  uint64_t turn = w->has_more_shut ? work_own_turn(w, first_todo(w)) : UINT64_MAX;
  struct waiting *rec = waiting_at(w->handle);
  uint32_t hop = w->shut_hop, handle = w->handle;
  int is_rerouted = w->is_rerouted;

  if (work_is_in_journal(w) && w->is_unmarked && work_file_as(w, STORE_NEW, 0, 0) != 0) {
    keep(w); /* what is done is known here only, and would be done again */
    return;
  }
  if (w->look_again && w->look_again < turn)
    turn = w->look_again;
  if (turn < until)
    until = turn;
  until = until >= WAITING_NEVER ? WAITING_NEVER : clock_to_steady(until);
  note_look(w);
  if (rec->look > clock_steady() && rec->look < until)
    until = rec->look;
  rec->is_hurried |= w->is_hurried;
  if (work_is_first_attempt(w) && w->e.nrcpt == 1 && !is_rerouted) /* as a file's name tells it: not read again before */
    rec->hop = hop;
  work_free(w);
  if (is_rerouted)
    waiting_until(handle, 0);
  else
    recovery_park(hop, handle, (uint32_t)until);
}

static int is_shut_out(const struct work *w)
{
  return w->is_rerouted ||
         (w->shut_hop &&
          recovery_is_shut(w->shut_hop, w->is_again ? LANE_AGAIN : LANE_NEW, w->is_hurried));
}

void work_settle(struct work *w)
{
  uint64_t next, owed;

  work_mind_clock(w);
  if (w->jobs > 0 || w->batches > 0 || w->is_reporting || w->is_routing)
    return;
  if (w->is_removed) {
    leave(w, "removed");
    return;
  }
  if (w->give_up)
    due_refuse(w, w->give_up);
  if (w->is_unmarked && !work_is_in_journal(w) && w->open > 0 && mark_again(w) != 0) {
    keep(w); /* reports are made from what stands in the file */
    return;
  }
  if (owed_pay(w))
    return;
  next = earliest(w, 0);
  owed = owed_next(w);
  if (w->todo == 0 && owed == OWED_NOTHING)
    leave(w, "no recipient is left");
  else if (owed < next)
    wait_again(w, owed, 1);
  else if (!w->is_held && (next <= clock_wall() || w->is_hurried) && is_shut_out(w))
    park(w);
  else
    wait_again(w, w->is_short && next <= clock_wall() ? clock_wall() + AGAIN_SOON : next, 0);
}

void work_batch_over(struct work *w)
{
  w->batches--;
  due_more(w);
  work_settle(w);
}

void work_shut_out(struct work *w, const struct batch *b, const struct destination *d)
{
  w->has_more_shut |= w->shut_hop != 0 && w->shut_hop != d->hop;
  w->shut_hop = d->hop;
  work_suspend(w, b, d->nexthop);
  work_batch_over(w);
}

void work_reroute(struct work *w)
{
  w->is_rerouted = 1;
  w->spread = w->ndue; /* they were sorted by the old routes */
  work_batch_over(w);
}
