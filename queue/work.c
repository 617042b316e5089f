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
#include "queue/destination.h"
#include "queue/due.h"
#include "queue/flush.h"
#include "queue/history.h"
#include "queue/owed.h"
#include "queue/spawners.h"
#include "queue/transcript.h"
#include "queue/waiting.h"

#define WORK_MAX 10000      /* messages being worked on */
#define AGAIN_SOON 10      /* seconds: something on our side went wrong */
#define AGAIN_LATER 60
#define UNTIL_MAX (40 * 86400) /* no schedule is longer */

static int queue_fd = -1;
static struct work *works;
static size_t working;

static uint64_t now(void)
{
  return (uint64_t)time(NULL);
}

void work_open(int fd)
{
  queue_fd = fd;
}

/* none while the disk does not keep up with what leaves the journal */
size_t work_room(void)
{
  return flush_is_behind() ? 0 : WORK_MAX - working;
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
  free(w->busy);
  free(w);
  working--;
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
  struct work *w = waiting_at(handle)->place || waiting_at(handle)->is_parked ? NULL : work_find(handle);
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

int work_as_file(struct work *w)
{
  if (!is_in_journal(w) || file_as(w, STORE_NEW, 0, 0) == 0)
    return 0;
  keep(w);
  return -1;
}

static int is_first_attempt(const struct work *w)
{
  return w->name.state == STORE_NEW || is_in_journal(w);
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
  waiting_drop(w->handle);
  free_work(w);
}

/* the earliest next attempt among recipients still to do, and its next hop's hash (0 when
 * they have several) */
static int earliest(struct work *w, uint64_t *next, uint32_t *hop)
{
  static stralloc text;
  struct nexthop h;
  size_t todo = 0;

  *next = UINT64_MAX;
  *hop = 0;
  for (size_t i = 0; i < w->e.nrcpt; i++) {
    const struct envelope_rcpt *r = &w->e.rcpt[i];
    uint32_t hash;
    if (r->status != RCPT_TODO)
      continue;
    if (r->next < *next)
      *next = r->next;
    hash = destination_of(program_table(), r->address, &h, &text, NULL) == 0
             ? store_hop_hash(text.s, text.len)
             : 0;
    *hop = todo == 0 || *hop == hash ? hash : 0;
    todo++;
  }
  return todo > 0;
}

static void rest(struct work *w, uint32_t due)
{
  waiting_until(w->handle, w->is_held ? WAITING_NEVER : due); /* its name keeps the time */
  free_work(w);
}

static void wait_again(struct work *w, uint64_t next, uint32_t hop, int is_owed)
{
  uint32_t due = next >= WAITING_NEVER ? WAITING_NEVER : (uint32_t)next;
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

/* how many recipients are not finished for good: to be tried, or reported */
static size_t unfinished(const struct work *w)
{
  size_t n = 0;

  for (size_t i = 0; i < w->e.nrcpt; i++)
    n += !envelope_is_closed(w->e.rcpt[i].status);
  return n;
}

/* nothing more was tried: the message stays as it is, and waits for room */
static void park(struct work *w)
{
  if (is_in_journal(w) && w->is_unmarked && file_as(w, STORE_NEW, 0, 0) != 0) {
    keep(w); /* what is done is known here only, and would be done again */
    return;
  }
  if (is_in_journal(w) && w->e.nrcpt == 1) /* as a file's name tells it: not read again before */
    waiting_at(w->handle)->hop = w->crowded_hop;
  spawners_park(w->crowded_hop, w->handle);
  free_work(w);
}

void work_settle(struct work *w)
{
  uint64_t next, owed;
  uint32_t hop;
  int todo;

  if (w->jobs > 0 || w->is_reporting)
    return;
  if (w->is_removed) {
    leave(w, "removed");
    return;
  }
  if (w->give_up)
    due_refuse(w, w->give_up);
  if (w->is_unmarked && !is_in_journal(w) && unfinished(w) > 0 && mark_again(w) != 0) {
    keep(w); /* reports are made from what stands in the file */
    return;
  }
  if (owed_pay(w))
    return;
  todo = earliest(w, &next, &hop);
  owed = owed_next(w);
  if (!todo && owed == OWED_NOTHING)
    leave(w, "no recipient is left");
  else if (owed < next)
    wait_again(w, owed, hop, 1);
  else if (!w->is_held && w->crowded_hop && next <= now() && spawners_is_crowded(w->crowded_hop))
    park(w);
  else
    wait_again(w, next, hop, 0);
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

static void apply_delivered(struct job *j, struct envelope_rcpt *r, const struct result *res)
{
  const struct envelope *e = &j->work->e;

  r->status = notify_taken(e, (size_t)(r - e->rcpt), res->how);
  log_delivered(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply);
}

static void apply_failed(struct job *j, struct envelope_rcpt *r, const struct result *res)
{
  r->status = RCPT_FAILED;
  log_bounced(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply);
}

static void apply_deferred(struct job *j, struct envelope_rcpt *r, const struct result *res)
{
  uint64_t t = now();

  r->next = res->until > t && res->until < t + UNTIL_MAX ? res->until : t + AGAIN_LATER;
  log_deferred(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply,
               log_num(r->next));
}

static void (*const apply[])(struct job *, struct envelope_rcpt *, const struct result *) = {
  [V_OK] = apply_delivered, [V_TEMP] = apply_deferred, [V_PERM] = apply_failed};

void work_result(struct job *j, size_t rcpt, const struct result *res)
{
  struct work *w = j->work;
  struct envelope_rcpt *r = &w->e.rcpt[rcpt];
  char number[24];
  const char *outcome[] = {number, verdict_word(res->verdict), res->status, j->host, res->reply};

  if (r->attempts < 65535 && !res->is_uncharged)
    r->attempts++;
  apply[res->verdict](j, r, res);
  if (res->verdict == V_OK && unfinished(w) == 0) {
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

/* what a recipient without a result gets: tried again on its schedule, or soon when the
 * attempt never began */
static void untold(struct job *j, size_t rcpt, const char *why, int charged)
{
  struct work *w = j->work;
  const char *domain = envelope_domain(w->e.rcpt[rcpt].address);
  struct retry_message m = {.birth = w->e.created,
                            .key = XXH3_64bits(w->name.id, STORE_ID_LEN),
                            .tries = w->e.rcpt[rcpt].attempts + 1,
                            .has_null_sender = !*w->e.sender,
                            .is_local = j->to->spawner == WORK_LOCAL};
  struct result res = {V_TEMP, now() + AGAIN_SOON, "4.3.0", why ? why : "the attempt said nothing", 0, NOTIFY_NOTHING};
  struct retry schedule;
  char expired[300];

  if (!charged) {
    w->e.rcpt[rcpt].next = res.until;
    if (!is_in_journal(w)) /* that is no reason to file it */
      work_mark(w, rcpt);
    return;
  }
  retry_find(program_table(), domain, strlen(domain), &schedule);
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

  for (size_t i = 0; i < j->nrcpt; i++) {
    w->busy[j->rcpt[i]] = 0;
    if (!j->told[i])
      untold(j, j->rcpt[i], why, charged);
  }
  work_story(w, &j->story);
  keep_spoken(j);
  w->jobs--;
  work_free_job(j);
  if (w->jobs > 0 && w->is_unmarked && is_in_journal(w))
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

int work_begin(uint32_t handle)
{
  struct waiting *rec = waiting_at(handle);
  struct work *w;

  if (rec->hop != 0 && !rec->is_hurried && !rec->is_owed && spawners_is_crowded(rec->hop)) {
    spawners_park(rec->hop, handle);
    return 0;
  }
  if (work_room() == 0 || !(w = calloc(1, sizeof *w)))
    return -1;
  waiting_take(handle);
  w->handle = handle;
  w->fd = -1;
  w->is_hurried = rec->is_hurried;
  rec->is_hurried = 0;
  waiting_name(handle, &w->name);
  w->next = works;
  if (works)
    works->prev = w;
  works = w;
  working++;
  if (read_message(w, rec->is_unverified) != 0) {
    if (errno == EBADMSG || errno == ENOENT) {
      if (errno == ENOENT)
        log_finished(w->name.id, "its file is gone");
      waiting_drop(handle);
    } else {
      log_failed("queue", w->name.id, strerror(errno));
      waiting_until(handle, (uint32_t)now() + AGAIN_LATER);
    }
    free_work(w);
    return 0;
  }
  rec->is_unverified = 0;
  if (w->e.doubtful > 0)
    log_failed("queue", w->name.id, "marks of recipients are damaged; these are tried again");
  if (w->e.content & CONTENT_LOOP)
    due_refuse(w, "5.4.6 the message has passed too many hops: it is looping");
  if (w->e.content & CONTENT_TOO_BIG)
    due_refuse(w, "5.3.4 the message is larger than message-size-limit");
  w->busy = calloc(w->e.nrcpt, 1);
  if (!w->busy || due_jobs(w) != 0) {
    if (w->jobs == 0) {
      waiting_until(handle, (uint32_t)now() + AGAIN_SOON);
      free_work(w);
      return 0;
    }
  }
  work_settle(w);
  return 0;
}
