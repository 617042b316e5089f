/* work_results.c - messages being worked on: what attempts say
 *
 * Runs in the manager. Results were checked by spawners.c. */
#include "queue/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/retry.h"
#include "common/settings.h"
#include "queue/clock.h"
#include "queue/due.h"
#include "queue/flush.h"
#include "queue/history.h"
#include "queue/recovery.h"
#include "queue/schedule.h"
#include "queue/tally.h"
#include "queue/transcript.h"
#include "queue/work_parts.h"

#define SUSPEND_MAX 1000   /* recipients: a longer list waits without a word */

static void story(struct job *j, char kind, const char *const *field, size_t n)
{
  if (!j->work->is_gone)
    history_line_make(&j->story, kind, clock_wall(), j->attempt, field, n);
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
  tally_count(TALLY_DELIVERED, 1);
  log_delivered(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply);
}

static void apply_failed(struct job *j, size_t i, const struct result *res)
{
  const struct envelope_rcpt *r = &j->work->e.rcpt[i];

  work_status(j->work, i, RCPT_FAILED);
  tally_count(TALLY_BOUNCED, 1);
  log_bounced(j->work->name.id, r->address, j->to->nexthop, res->status, res->reply);
}

static void apply_deferred(struct job *j, size_t i, const struct result *res)
{
  struct envelope_rcpt *r = &j->work->e.rcpt[i];
  uint64_t t = clock_wall();

  r->next = res->until;
  if (res->until <= t || due_is_beyond(j->work, i, res->until)) /* of another clock */
    r->next = work_own_turn(j->work, i);
  if (j->until == 0 || r->next < j->until)
    j->until = r->next;
  tally_count(TALLY_DEFERRED, 1);
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
  return retry_end(&r, &m) > clock_wall() + AGAIN_LATER;
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
  if (res->host == HOST_LOST || res->host == HOST_UNREACHED) {
    j->unreached++;
    snprintf(j->why, sizeof j->why, "%s", res->reply);
  }
  apply[res->verdict](j, rcpt, res);
  if (res->verdict == V_OK && w->open == 0) {
    /* the last one: the file goes at once, marks and story with it */
    w->is_gone = store_remove(work_queue, &w->name) == 0;
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

  work_mind_clock(j->work);
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
  if (w->is_gone && work_is_first_attempt(w) && !w->has_transcript) {
    transcript_keep_last(work_queue, &record, clock_wall());
  } else {
    transcript_keep(work_queue, w->name.id, &record);
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
  struct retry_message m;
  struct result res = {V_TEMP, clock_wall() + AGAIN_SOON, "4.3.0", why ? why : "the attempt said nothing", 0, NOTIFY_NOTHING, HOST_UNKNOWN};
  struct retry schedule;
  char expired[300];

  if (!charged) {
    w->e.rcpt[rcpt].next = res.until;
    w->held[rcpt] = 0;
    if (!work_is_in_journal(w)) /* that is no reason to file it */
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

  work_mind_clock(w);
  for (size_t i = 0; i < j->nrcpt; i++)
    if (!j->told[i])
      untold(j, j->rcpt[i], why, charged);
  work_story(w, &j->story);
  keep_spoken(j);
  w->jobs--;
  work_free_job(j);
  if (w->jobs + w->batches > 0 && w->is_unmarked && work_is_in_journal(w))
    work_file_as(w, STORE_NEW, 0, 0); /* a kill now must not repeat it */
  work_settle(w);
}

/* ---- without an attempt */

void work_expire(struct work *w, size_t i, const char *why)
{
  static stralloc line; /* bound: an address and a reply */
  struct envelope_rcpt *r = &w->e.rcpt[i];
  char number[24], text[400];
  const char *outcome[] = {number, verdict_word(V_PERM), "4.4.7", "", text};

  snprintf(number, sizeof number, "%zu", i);
  snprintf(text, sizeof text, "delivery time expired: %s", why);
  work_status(w, i, RCPT_FAILED);
  tally_count(TALLY_BOUNCED, 1);
  log_bounced(w->name.id, r->address, "down", "4.4.7", text);
  work_mark(w, i);
  if (stralloc_copys(&line, "") &&
      history_line_make(&line, 'o', clock_wall(), r->attempts, outcome, 5) == 0)
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
  if (stralloc_copys(&line, "") && history_line_make(&line, 'o', clock_wall(), 0, outcome, 5) == 0)
    work_story(w, &line);
}

void work_suspend(struct work *w, const struct batch *b, const char *nexthop)
{
  uint64_t probe, turn = work_own_turn(w, w->due[b->from].rcpt);
  const char *why;
  char reply[400];

  if (b->n > SUSPEND_MAX || !recovery_is_down(store_hop_hash(nexthop, strlen(nexthop)), &why, &probe))
    return;
  snprintf(reply, sizeof reply, "not tried now, its next hop is down: %s", why);
  for (size_t k = b->from; k < b->from + b->n; k++) {
    struct envelope_rcpt *r = &w->e.rcpt[w->due[k].rcpt];
    if (r->status != RCPT_TODO || r->attempts > 0 || r->next > clock_wall())
      continue;
    r->next = probe < turn ? probe : turn;
    suspend(w, w->due[k].rcpt, nexthop, reply);
  }
}
