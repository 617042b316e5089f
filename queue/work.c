/* work.c - messages being worked on: from due to settled
 *
 * Runs in the manager. Envelopes are hostile until envelope_read() took them; results were
 * checked by spawners.c. Marks in the file come before anything else is told: a kill after a
 * mark never repeats a delivery. */
#include "queue/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/log.h"
#include "common/program.h"
#include "common/retry.h"
#include "common/settings.h"
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

#define WORK_EACH 5000     /* messages being worked on, of those new, and of the others */
#define WORK_RECIPIENTS 500000 /* of all of them; what is being worked on has one message more at most */
#define SUSPEND_MAX 1000   /* recipients: a longer list waits without a word */
#define TURN_READS 100     /* messages taken up in one turn */
#define TURN_LOOKS 5000    /* messages looked at in one turn, those that wait outside included */
#define AGAIN_SOON 10      /* seconds: something on our side went wrong */
#define AGAIN_LATER 60

static int queue_fd = -1;
static struct work *works;
static size_t working[LANES], recipients;

static uint64_t now(void)
{
  return clock_wall();
}

void work_open(int fd)
{
  queue_fd = fd;
}

/* none while the disk does not keep up with what leaves the journal */
static size_t room(enum lane_kind lane)
{
  return flush_is_behind() || recipients >= WORK_RECIPIENTS || working[lane] >= WORK_EACH ? 0 : WORK_EACH - working[lane];
}

struct work *work_find(uint32_t handle)
{
  struct work *w = works;

  while (w && w->handle != handle)
    w = w->next;
  return w;
}

static void free_work(struct work *w)
{
  loop_timer_stop(&w->again);
  due_forget(w);
  waiting_at(w->handle)->is_active = 0;
  recipients -= w->weight;
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

void work_status(struct work *w, size_t i, enum rcpt_status s)
{
  struct envelope_rcpt *r = &w->e.rcpt[i];

  w->todo -= r->status == RCPT_TODO;
  w->open -= !envelope_is_closed(r->status);
  r->status = s;
  w->todo += s == RCPT_TODO;
  w->open += !envelope_is_closed(s);
}

/* ---- settled: what becomes of a message when no job is left */

static int is_in_journal(const struct work *w)
{
  return w->name.state == STORE_FLIGHT;
}

/* a message that is in the journal becomes a file, with all that is known of it. 0, or -1 */
static int file_as(struct work *w, enum store_state s, uint32_t next, uint32_t hop)
{
  const struct store_filing f = {s, next, hop, &w->e, &w->story};

  if (store_file(queue_fd, &w->name, &f) != 0) {
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
  return is_in_journal(w) ? file_as(w, STORE_NEW, 0, 0) : 0;
}

int work_file(uint32_t handle)
{
  struct work *w = waiting_at(handle)->is_active ? work_find(handle) : NULL;
  struct store_name n;

  if (w)
    return file_as(w, STORE_NEW, 0, 0);
  waiting_name(handle, &n);
  if (store_move(queue_fd, &n, STORE_NEW, 0, 0) != 0)
    return -1;
  waiting_moved(handle, &n);
  return 0;
}

/* opens the file for marks; 0, or -1 */
static int open_for_marks(struct work *w)
{
  if (w->fd < 0)
    w->fd = store_open(queue_fd, &w->name, O_RDWR);
  return w->fd < 0 ? -1 : 0;
}

void work_mark(struct work *w, size_t i)
{
  int is_over = w->e.rcpt[i].status != RCPT_TODO;

  w->is_changed = 1;
  if (is_in_journal(w)) {
    w->is_unmarked |= is_over; /* until it is filed, or done with */
    return;
  }
  w->needs_flush |= is_over;
  if (open_for_marks(w) == 0 && envelope_mark(w->fd, &w->e, i) == 0)
    return;
  log_failed("queue", w->name.id, strerror(errno));
  w->is_unmarked |= is_over;
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

static int is_first_attempt(const struct work *w)
{
  return w->name.state == STORE_NEW || is_in_journal(w);
}

/* the message has left the queue */
static void forget(struct work *w)
{
  uint32_t handle = w->handle;

  free_work(w);
  waiting_drop(handle);
}

static void leave(struct work *w, const char *reason)
{
  if (!w->is_gone && store_remove(queue_fd, &w->name) != 0 && errno != ENOENT) {
    log_failed("queue", w->name.id, strerror(errno));
    keep(w);
    return;
  }
  if (!is_first_attempt(w) || w->has_transcript)
    transcript_left(queue_fd, w->name.id);
  if (!w->is_gone)
    flush_soon(&w->name);
  log_finished(w->name.id, reason);
  forget(w);
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
  free_work(w);
  if (is_held)
    line_join(handle, hop & ~(uint32_t)STORE_HELD, LINE_HELD);
}

static void wait_again(struct work *w, uint64_t next, int is_owed)
{
  uint32_t due = next >= WAITING_NEVER ? WAITING_NEVER : (uint32_t)next, hop = common_hop(w);
  enum store_state s = due == WAITING_NEVER || w->is_held ? STORE_HOLD : STORE_CUR;

  waiting_at(w->handle)->is_owed = is_owed != 0;
  if (is_in_journal(w)) {
    if ((w->is_changed || w->is_held) && file_as(w, s, due, hop) != 0 && w->is_unmarked) {
      keep(w);
      return;
    }
    waiting_at(w->handle)->is_unverified = !is_in_journal(w);
    rest(w, due); /* if it cannot be filed now, the journal has it */
    return;
  }
  if (w->needs_flush && w->fd >= 0 && fdatasync(w->fd) != 0)
    log_failed("queue", w->name.id, strerror(errno)); /* marks may repeat: at least once */
  if (store_move(queue_fd, &w->name, s, due, hop) != 0)
    log_failed("queue", w->name.id, strerror(errno));
  else
    waiting_moved(w->handle, &w->name);
  waiting_at(w->handle)->is_unverified = 1; /* a disk has time to change things */
  rest(w, due);
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
  return clock_to_steady((birth < now() ? birth : now()) + bounds.look);
}

/* when recipient i is tried again by its schedule, whether or not it was tried now */
static uint64_t own_turn(const struct work *w, size_t i)
{
  struct retry_message m;
  struct retry r;
  uint64_t next;

  work_schedule(w, i, &r, &m);
  next = retry_next(&r, &m, now());
  return next ? next : now() + AGAIN_LATER;
}

static size_t first_todo(const struct work *w)
{
  size_t i = 0;

  while (i + 1 < w->e.nrcpt && w->e.rcpt[i].status != RCPT_TODO)
    i++;
  return i;
}

/* some recipients are due and were not tried: the message stays as it is, and waits for its
 * destination, but not past the time of the others, nor past its life */
static void park(struct work *w)
{
  uint64_t until = earliest(w, now() + 1);
  uint64_t turn = w->has_more_shut ? own_turn(w, first_todo(w)) : UINT64_MAX;
  struct waiting *rec = waiting_at(w->handle);
  uint32_t hop = w->shut_hop, handle = w->handle;

  if (is_in_journal(w) && w->is_unmarked && file_as(w, STORE_NEW, 0, 0) != 0) {
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
  if (is_first_attempt(w) && w->e.nrcpt == 1) /* as a file's name tells it: not read again before */
    rec->hop = hop;
  free_work(w);
  recovery_park(hop, handle, (uint32_t)until);
}

static uint64_t moved(uint64_t t, int64_t by)
{
  return by < 0 && (uint64_t)-by > t ? 0 : t + (uint64_t)by;
}

/* how far the clock was set since the message was made. Between its making and the manager's
 * hearing of it a moment passes, which is no step: while nobody set the clock its times stand. */
static int64_t made_by_another_clock(const struct waiting *rec, uint64_t created)
{
  if (!rec->born || clock_steps() == 0)
    return clock_skew(rec->made_at);
  return (int64_t)(clock_to_wall(rec->born) - created);
}

/* the clock was set since its times were written: they are told by the clock of today. What is
 * still to do is written anew, so that the file is of one clock again. */
static void tell_by_today(struct work *w, int64_t made, int64_t named)
{
  w->e.created = moved(w->e.created, made);
  for (size_t i = 0; named != 0 && i < w->e.nrcpt; i++) {
    struct envelope_rcpt *r = &w->e.rcpt[i];
    if (r->status != RCPT_TODO || r->next == 0 || r->next >= WAITING_NEVER)
      continue;
    r->next = moved(r->next, named);
    work_mark(w, i);
  }
}

/* it is set while a message is being worked on */
static void mind_clock(struct work *w)
{
  int64_t by = clock_skew(w->clock);

  if (w->clock == clock_steps())
    return;
  w->clock = clock_steps();
  if (w->owed_again)
    w->owed_again = moved(w->owed_again, by);
  tell_by_today(w, by, by);
}

static int is_shut_out(const struct work *w)
{
  return w->shut_hop &&
         recovery_is_shut(w->shut_hop, w->is_again ? LANE_AGAIN : LANE_NEW, w->is_hurried);
}

void work_settle(struct work *w)
{
  uint64_t next, owed;

  mind_clock(w);
  if (w->jobs > 0 || w->batches > 0 || w->is_reporting || w->is_routing)
    return;
  if (w->is_removed) {
    leave(w, "removed");
    return;
  }
  if (w->give_up)
    due_refuse(w, w->give_up);
  if (w->is_unmarked && !is_in_journal(w) && w->open > 0 && mark_again(w) != 0) {
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
  else if (!w->is_held && (next <= now() || w->is_hurried) && is_shut_out(w))
    park(w);
  else
    wait_again(w, w->is_short && next <= now() ? now() + AGAIN_SOON : next, 0);
}

void work_batch_over(struct work *w)
{
  w->batches--;
  if (!w->is_removed)
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

void work_remove(struct work *w)
{
  w->is_removed = 1;
  work_settle(w);
}

int work_hold(struct work *w, int is_held)
{
  int was_held = w->is_held;

  w->is_held = is_held;
  return was_held != is_held;
}

int work_bounce(struct work *w, const char *text)
{
  char *copy = strdup(text);

  if (!copy)
    return -1;
  free(w->give_up);
  w->give_up = copy;
  work_settle(w);
  return 0;
}

/* ---- results */

static void story(struct job *j, char kind, const char *const *field, size_t n)
{
  if (!j->work->is_gone)
    history_line_make(&j->story, kind, now(), j->attempt, field, n);
}

void work_story(struct work *w, const stralloc *lines)
{
  if (w->is_gone || lines->len == 0)
    return;
  if (is_in_journal(w))
    stralloc_cat(&w->story, lines);
  else if (open_for_marks(w) == 0)
    history_append(w->fd, &w->e, lines);
}

void work_step(struct job *j, const char *const field[5])
{
  log_step(j->work->name.id, field[0], field[2], field[3], field[4]);
  if (*field[0])
    snprintf(j->host, sizeof j->host, "%s [%s]", field[0], field[1]);
  if (j->steps++ < JOB_STEPS_MAX)
    story(j, 's', field, 5);
}

void work_noted(struct job *j, const char *const field[5])
{
  if (j->steps++ < JOB_STEPS_MAX)
    story(j, 'l', field, 5);
}

static void apply_delivered(struct job *j, size_t i, const struct result *res)
{
  const struct envelope_rcpt *r = &j->work->e.rcpt[i];

  work_status(j->work, i, notify_taken(&j->work->e, i, res->how));
  log_delivered(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply);
}

static void apply_failed(struct job *j, size_t i, const struct result *res)
{
  const struct envelope_rcpt *r = &j->work->e.rcpt[i];

  work_status(j->work, i, RCPT_FAILED);
  log_bounced(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply);
}

static void apply_deferred(struct job *j, size_t i, const struct result *res)
{
  struct envelope_rcpt *r = &j->work->e.rcpt[i];
  uint64_t t = now();

  r->next = res->until;
  if (res->until <= t || due_is_beyond(j->work, i, res->until)) /* of another clock */
    r->next = own_turn(j->work, i);
  if (j->until == 0 || r->next < j->until)
    j->until = r->next;
  log_deferred(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply,
               log_num(r->next));
}

static void (*const apply[])(struct job *, size_t, const struct result *) = {
  [V_OK] = apply_delivered, [V_TEMP] = apply_deferred, [V_PERM] = apply_failed};

/* an attempt that ran while the clock was set forward took the message for older than it is: what
 * it heard is no failure for good yet */
static int is_not_over(const struct work *w, size_t i, const struct result *res)
{
  struct retry_message m;
  struct retry r;

  if (res->verdict != V_PERM || strcmp(res->status, "4.4.7") != 0)
    return 0;
  work_schedule(w, i, &r, &m);
  return retry_end(&r, &m) > now() + AGAIN_LATER;
}

static void apply_result(struct job *j, size_t rcpt, const struct result *res)
{
  struct work *w = j->work;
  struct envelope_rcpt *r = &w->e.rcpt[rcpt];
  char number[24];
  const char *outcome[] = {number, verdict_word(res->verdict), res->status, j->host, res->reply};

  if (r->attempts < 65535 && !res->is_uncharged)
    r->attempts++;
  w->held[rcpt] = res->host == HOST_UNREACHED;
  j->answers += res->host == HOST_ANSWERED;
  if (res->host != HOST_ANSWERED) {
    j->unreached++;
    snprintf(j->why, sizeof j->why, "%s", res->reply);
  }
  apply[res->verdict](j, rcpt, res);
  if (res->verdict == V_OK && w->open == 0) {
    /* the last one: the file goes at once, marks and story with it */
    w->is_gone = store_remove(queue_fd, &w->name) == 0;
    if (w->is_gone) {
      flush_soon(&w->name);
      return;
    }
  }
  work_mark(w, rcpt);
  snprintf(number, sizeof number, "%zu", rcpt);
  story(j, 'o', outcome, 5);
}

void work_result(struct job *j, size_t rcpt, const struct result *res)
{
  struct result r = *res;

  mind_clock(j->work);
  if (is_not_over(j->work, rcpt, res)) {
    r.verdict = V_TEMP;
    r.status = "4.4.1";
    r.until = 0; /* its own schedule tells */
  }
  apply_result(j, rcpt, &r);
}

void work_spoken(struct job *j, const char *lines, size_t len)
{
  if (j->spoken.len + len <= DIALOGUE_MAX)
    stralloc_catb(&j->spoken, lines, len);
}

/* a message that leaves with its first attempt has no file of its own to keep it in */
static void keep_spoken(struct job *j)
{
  struct work *w = j->work;
  struct dialogue_attempt a = {w->name.id, j->started, j->attempt, j->to->nexthop};
  static stralloc record; /* bound: DIALOGUE_MAX and a line */

  if (j->spoken.len == 0 || settings.transcript_keep == 0 || !stralloc_copys(&record, "") ||
      dialogue_head(&record, &a) != 0 || !stralloc_cat(&record, &j->spoken))
    return;
  if (w->is_gone && is_first_attempt(w) && !w->has_transcript) {
    transcript_keep_last(queue_fd, &record, now());
  } else {
    transcript_keep(queue_fd, w->name.id, &record);
    w->has_transcript = 1;
  }
}

void work_free_job(struct job *j)
{
  free(j->spoken.s);
  free(j->story.s);
  free(j->rcpt);
  free(j->told);
  free(j);
}

void work_schedule(const struct work *w, size_t i, struct retry *r, struct retry_message *m)
{
  static const struct table *of;
  static char domain[256];
  static struct retry last;
  const char *mine = envelope_domain(w->e.rcpt[i].address);

  if (of != program_table() || strcmp(domain, mine) != 0) {
    retry_find(program_table(), mine, strlen(mine), &last);
    of = strlen(mine) < sizeof domain ? program_table() : NULL;
    snprintf(domain, sizeof domain, "%s", mine);
  }
  *r = last;
  *m = (struct retry_message){.birth = w->e.created,
                              .key = XXH3_64bits(w->name.id, STORE_ID_LEN),
                              .tries = w->e.rcpt[i].attempts + 1,
                              .has_null_sender = !*w->e.sender};
}

void work_expire(struct work *w, size_t i, const char *why)
{
  static stralloc line; /* bound: an address and a reply */
  struct envelope_rcpt *r = &w->e.rcpt[i];
  char number[24], text[400];
  const char *outcome[] = {number, verdict_word(V_PERM), "4.4.7", "", text};

  snprintf(number, sizeof number, "%zu", i);
  snprintf(text, sizeof text, "delivery time expired: %s", why);
  work_status(w, i, RCPT_FAILED);
  log_bounced(w->name.id, r->address, "down", "4.4.7", text);
  work_mark(w, i);
  if (stralloc_copys(&line, "") &&
      history_line_make(&line, 'o', now(), r->attempts, outcome, 5) == 0)
    work_story(w, &line);
}

static void suspend(struct work *w, size_t i, const char *nexthop, const char *reply)
{
  static stralloc line; /* bound: an address and a reply */
  struct envelope_rcpt *r = &w->e.rcpt[i];
  char number[24];
  const char *outcome[] = {number, verdict_word(V_TEMP), "4.4.1", "", reply};

  snprintf(number, sizeof number, "%zu", i);
  w->held[i] = 1;
  log_deferred(w->name.id, r->address, nexthop, "4.4.1", reply, log_num(r->next));
  work_mark(w, i);
  if (stralloc_copys(&line, "") && history_line_make(&line, 'o', now(), 0, outcome, 5) == 0)
    work_story(w, &line);
}

void work_suspend(struct work *w, const struct batch *b, const char *nexthop)
{
  uint64_t probe, turn = own_turn(w, w->due[b->from].rcpt);
  const char *why;
  char reply[400];

  if (b->n > SUSPEND_MAX || !recovery_is_down(store_hop_hash(nexthop, strlen(nexthop)), &why, &probe))
    return;
  snprintf(reply, sizeof reply, "not tried now, its next hop is down: %s", why);
  for (size_t k = b->from; k < b->from + b->n; k++) {
    struct envelope_rcpt *r = &w->e.rcpt[w->due[k].rcpt];
    if (r->status != RCPT_TODO || r->attempts > 0 || r->next > now())
      continue;
    r->next = probe < turn ? probe : turn;
    suspend(w, w->due[k].rcpt, nexthop, reply);
  }
}

/* what a recipient without a result gets: tried again on its schedule, or soon when the
 * attempt never began */
static void untold(struct job *j, size_t rcpt, const char *why, int charged)
{
  struct work *w = j->work;
  struct retry_message m;
  struct result res = {V_TEMP, now() + AGAIN_SOON, "4.3.0", why ? why : "the attempt said nothing", 0, NOTIFY_NOTHING, HOST_ANSWERED};
  struct retry schedule;
  char expired[300];

  if (!charged) {
    w->e.rcpt[rcpt].next = res.until;
    w->held[rcpt] = 0;
    if (!is_in_journal(w)) /* that is no reason to file it */
      work_mark(w, rcpt);
    return;
  }
  work_schedule(w, rcpt, &schedule, &m);
  m.is_local = j->to->spawner == WORK_LOCAL;
  res.until = retry_next(&schedule, &m, retry_clock());
  if (res.until == 0) {
    res.verdict = V_PERM;
    res.status = "4.4.7";
    snprintf(expired, sizeof expired, "delivery time expired: %s", res.reply);
    res.reply = expired;
  }
  work_result(j, rcpt, &res);
}

void work_finished(struct job *j, const char *why, int charged)
{
  struct work *w = j->work;

  mind_clock(w);
  for (size_t i = 0; i < j->nrcpt; i++)
    if (!j->told[i])
      untold(j, j->rcpt[i], why, charged);
  work_story(w, &j->story);
  keep_spoken(j);
  w->jobs--;
  work_free_job(j);
  if (w->jobs + w->batches > 0 && w->is_unmarked && is_in_journal(w))
    file_as(w, STORE_NEW, 0, 0); /* a kill now must not repeat it */
  work_settle(w);
}

/* ---- taken up */

/* reads the message's envelope. 0; -1 when it could not be, and what then is done is done */
static int read_message(struct work *w, int is_unverified)
{
  const char *why;
  int r = store_read(queue_fd, &w->name, is_unverified, &w->e, &why), saved = errno;

  if (r != 0 && errno == EBADMSG)
    store_corrupt(queue_fd, &w->name, why);
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
    forget(w);
    return;
  }
  log_failed("queue", w->name.id, strerror(errno));
  free_work(w);
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
  w->weight = w->e.nrcpt;
  recipients += w->weight;
  rec->is_unverified = 0;
  if (w->e.doubtful > 0)
    log_failed("queue", w->name.id, "marks of recipients are damaged; these are tried again");
  tell_by_today(w, made_by_another_clock(rec, w->e.created), clock_skew(rec->named_at));
  rec->named_at = w->clock = clock_steps();
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
    free_work(w);
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
