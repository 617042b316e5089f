/* localjob.c - local deliveries under way: what is told to the manager, and aliases
 *
 * Runs in heloise-local, in its loop. The message's header section is hostile bytes. */
#include "deliver/localjob.h"

#include <errno.h>
#include <signal.h>
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
#include "deliver/deliveredto.h"
#include "queue/notify.h"

#define REPLY_MAX 1000

static struct chan *manager;
static struct localjob *jobs; /* bound: LOCALJOBS_MAX */
static size_t job_count;
static void (*when_idle)(void);

void localjob_manager(struct chan *c)
{
  manager = c;
}

void localjob_when_idle(void (*idle)(void))
{
  when_idle = idle;
}

size_t localjob_count(void)
{
  return job_count;
}

struct localjob *localjob_new(uint64_t number, int fd)
{
  struct localjob *j = job_count < LOCALJOBS_MAX ? calloc(1, sizeof *j) : NULL;

  if (!j)
    return NULL;
  j->number = number;
  j->fd = fd;
  j->report_fd = -1;
  j->next = jobs;
  jobs = j;
  job_count++;
  return j;
}

const struct envelope_rcpt *localjob_rcpt(const struct localjob *j)
{
  return &j->env.rcpt[j->rcpt];
}

/* ---- the end of a job */

static void free_job(struct localjob *j)
{
  struct localjob **p = &jobs;

  while (*p != j)
    p = &(*p)->next;
  *p = j->next;
  job_count--;
  loop_timer_stop(&j->timer);
  forward_free(&j->forward);
  envelope_free(&j->env);
  localuser_free(&j->who);
  close(j->fd);
  if (j->report_fd >= 0)
    close(j->report_fd);
  free(j);
  if (when_idle && !jobs)
    when_idle();
}

void localjob_finished(uint64_t job, const char *outcome)
{
  struct wire_out o;

  wire_start(&o, WIRE_FINISHED);
  wire_num(&o, job);
  wire_str(&o, outcome);
  chan_send(manager, &o, -1);
}

void localjob_give_up(struct localjob *j, const char *why)
{
  localjob_finished(j->number, why);
  free_job(j);
}

/* when a temporary failure is tried again; 0: the message's life is over */
static uint64_t next_attempt(const struct localjob *j)
{
  struct retry_message m = {.birth = j->env.created,
                            .key = XXH3_64bits(j->env.id, strlen(j->env.id)),
                            .tries = j->tries + 1, .has_null_sender = j->env.sender[0] == 0,
                            .is_local = 1};
  const char *domain = envelope_domain(localjob_rcpt(j)->address);
  struct retry r;

  retry_find(program_table(), domain, strlen(domain), &r);
  return retry_next(&r, &m, retry_clock());
}

static void report(struct localjob *j, enum verdict v, const char *status, const char *text,
                   enum notify_action how)
{
  char reply[REPLY_MAX];
  uint64_t until = v == V_TEMP ? next_attempt(j) : 0;
  struct wire_out o;

  if (v == V_TEMP && until == 0) {
    v = V_PERM;
    status = "4.4.7";
    snprintf(reply, sizeof reply, "delivery time expired: %s", text);
  } else {
    snprintf(reply, sizeof reply, "%s", text);
  }
  wire_start(&o, WIRE_RESULT);
  wire_num(&o, j->number);
  wire_num(&o, j->rcpt);
  wire_str(&o, verdict_word(v));
  wire_num(&o, until);
  wire_str(&o, status);
  wire_str(&o, reply);
  wire_str(&o, notify_word(v == V_OK ? how : NOTIFY_NOTHING));
  chan_send(manager, &o, -1);
  localjob_give_up(j, "reported");
}

void localjob_report(struct localjob *j, enum verdict v, const char *status, const char *text)
{
  report(j, v, status, text, NOTIFY_DELIVERED);
}

/* ---- aliases */

static void on_forwarded(struct forward *f, enum verdict v, const char *status, const char *text)
{
  struct localjob *j = (struct localjob *)((char *)f - offsetof(struct localjob, forward));
  char reply[REPLY_MAX];
  enum notify_action how = f->is_several ? NOTIFY_EXPANDED : NOTIFY_NOTHING;

  if (v == V_OK) {
    for (size_t i = 0; i + 1 < f->to.len; i++)
      if (f->to.s[i] == 0)
        f->to.s[i] = ',';
    snprintf(reply, sizeof reply, "sent on as %s", text);
    log_forwarded(j->env.id, localjob_rcpt(j)->address, f->to.s, text);
    text = reply;
  }
  report(j, v, status, text, how);
}

/* the message's header section, or as much of it as header-size-limit allows */
static int read_header(const struct localjob *j, stralloc *out)
{
  size_t want = settings.header_size_limit + 65536;

  if (want > j->env.body_len)
    want = (size_t)j->env.body_len;
  if (!stralloc_ready(out, want + 1))
    return -1;
  while (out->len < want) {
    ssize_t n = pread(j->fd, out->s + out->len, want - out->len, j->env.body_at + (off_t)out->len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return -1;
    out->len += (size_t)n;
  }
  return 0;
}

void localjob_send_on(struct localjob *j)
{
  stralloc header = {0};
  int is_loop;

  if (read_header(j, &header) != 0) {
    free(header.s);
    localjob_report(j, V_TEMP, "4.3.0", "the message cannot be read");
    return;
  }
  is_loop = deliveredto_has(header.s, header.len, localjob_rcpt(j)->address);
  free(header.s);
  if (is_loop) {
    localjob_report(j, V_PERM, "5.4.6",
                    "mail loop: Delivered-To says that it has been to this address before");
    return;
  }
  j->forward.fd = j->fd;
  j->forward.env = &j->env;
  j->forward.rcpt = j->rcpt;
  j->forward.is_several = j->is_kept || j->forward.to_count > 1;
  j->forward.done = on_forwarded;
  forward_start(&j->forward);
}

struct localjob *localjob_of(pid_t pid)
{
  struct localjob *j = jobs;

  while (j && j->pid != pid)
    j = j->next;
  return j;
}

void localjob_abandon_all(void)
{
  while (jobs) {
    if (jobs->pid > 0)
      kill(jobs->pid, SIGKILL);
    free_job(jobs);
  }
}
