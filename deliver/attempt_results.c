/* attempt_results.c - what an attempt comes to, recipient by recipient
 *
 * Runs in attempts. A temporary failure gets its next time from the schedule, one past the message's
 * life is for good. */
#include "deliver/attempt_results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#include "common/retry.h"
#include "deliver/past.h"

#define GREETSOFT_TRIES 3

size_t attempt_left(const struct attempt *a)
{
  size_t n = 0;

  for (size_t i = 0; i < a->n; i++)
    n += !a->recipient[i].is_settled;
  return n;
}

struct report_result attempt_result(const struct attempt *a, const struct recipient *r, enum verdict v,
                                    uint64_t until)
{
  return (struct report_result){r->number, v, until, r->status, r->text.s,
                                v == V_TEMP && a->is_uncharged, v == V_OK && !r->has_dsn, r->host};
}

static void say(struct attempt *a, struct recipient *r, enum verdict v, uint64_t until)
{
  struct report_result said;

  r->is_settled = 1;
  if (!stralloc_0(&r->text)) {
    said = (struct report_result){r->number, v, until, r->status, "",
                                   v == V_TEMP && a->is_uncharged, v == V_OK && !r->has_dsn, r->host};
    report_said(a->given->report, &said);
    return;
  }
  if (v == V_OK && a->n == 1) {
    a->untold = r;
    return;
  }
  said = attempt_result(a, r, v, until);
  report_said(a->given->report, &said);
}

static uint64_t next_try(const struct attempt *a, struct recipient *r, uint64_t wait)
{
  struct retry_message m = {.birth = a->env.created,
                            .key = XXH3_64bits(a->env.id, strlen(a->env.id)),
                            .tries = a->given->tries + 1,
                            .has_null_sender = a->env.sender[0] == 0};
  const char *domain = envelope_domain(r->rcpt->address);
  uint64_t next, stated, now = retry_clock();
  struct retry schedule;

  retry_find(a->given->table, domain, strlen(domain), &schedule);
  next = retry_next(&schedule, &m, now);
  if (next && next < now + wait)
    next = now + wait < retry_end(&schedule, &m) ? now + wait : retry_end(&schedule, &m);
  stated = next && !wait ? past_stated(a, r, retry_end(&schedule, &m)) : 0;
  if (stated) {
    past_moved(r, stated);
    next = stated;
  }
  return next;
}

/* the message's life is over: what was last said stays, but it is for good now */
static void expire(struct attempt *a, struct recipient *r)
{
  static const char prefix[] = "delivery time expired: ";
  stralloc text = {0};

  if (stralloc_copys(&text, prefix) && stralloc_cat(&text, &r->text))
    stralloc_copy(&r->text, &text);
  free(text.s);
  snprintf(r->status, sizeof r->status, "4.4.7");
  say(a, r, V_PERM, 0);
}

void attempt_settle(struct attempt *a, struct recipient *r, enum verdict v, uint64_t wait)
{
  static const char class[] = {[V_OK] = '2', [V_TEMP] = '4', [V_PERM] = '5'};
  uint64_t until;

  if (r->is_settled)
    return;
  if (r->status[0] < '2' || r->status[0] > '5')
    snprintf(r->status, sizeof r->status, "2.0.0");
  r->status[0] = class[v];
  if (v != V_TEMP) {
    say(a, r, v, 0);
    return;
  }
  until = next_try(a, r, wait);
  if (until == 0)
    expire(a, r);
  else
    say(a, r, V_TEMP, until);
}

void attempt_settle_rest(struct attempt *a, enum verdict v, const char *status, const char *text,
                         enum report_host host)
{
  for (size_t i = 0; i < a->n; i++) {
    struct recipient *r = &a->recipient[i];
    if (r->is_settled)
      continue;
    snprintf(r->status, sizeof r->status, "%s", status);
    r->host = host;
    if (!stralloc_copys(&r->text, text))
      r->text.len = 0;
    attempt_settle(a, r, v, 0);
  }
}

/* a greeting that says no is about hosts, not recipients: it counts only when the message has
 * waited long enough and was tried often enough (LADDER.md 0) */
static int is_greeting_final(const struct attempt *a, const struct recipient *r)
{
  const char *domain = envelope_domain(r->rcpt->address);
  struct retry schedule;

  retry_find(a->given->table, domain, strlen(domain), &schedule);
  return a->given->tries + 1 >= GREETSOFT_TRIES &&
         (uint64_t)time(NULL) >= a->env.created + schedule.greetsoft;
}

static enum verdict verdict_of(const struct attempt *a, const struct recipient *r)
{
  if (r->finals == 0 || (r->finals & (1U << FINAL_DEFER)))
    return V_TEMP;
  if (r->finals & (1U << FINAL_GREET))
    return is_greeting_final(a, r) ? V_PERM : V_TEMP;
  return V_PERM;
}

void attempt_conclude(struct attempt *a)
{
  for (size_t i = 0; i < a->n; i++) {
    struct recipient *r = &a->recipient[i];
    enum verdict v = verdict_of(a, r);
    if (r->is_settled)
      continue;
    if (v == V_PERM && a->addresses == 0) /* DNS alone said so, for good: no host is down */
      r->host = REPORT_ANSWERED;
    attempt_settle(a, r, v, 0);
  }
}

void attempt_record(struct attempt *a, enum ladder_final final, const char *status,
                    const stralloc *text, enum report_host host)
{
  for (size_t i = 0; i < a->n; i++) {
    struct recipient *r = &a->recipient[i];
    if (r->is_settled || r->was_answered)
      continue;
    r->finals |= 1U << final;
    r->host = host;
    snprintf(r->status, sizeof r->status, "%s", status);
    if (!stralloc_copy(&r->text, text))
      r->text.len = 0;
  }
}
