/* stems.c - keeps a stem
 *
 * Runs in heloise-deliver: user hldeliver, which may start programs for this alone. heloise-stem is
 * started and handed what it needs as `heloise run` does it with programs. It is trusted: it hears
 * nobody but us. */
#include "deliver/stems.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/libexec.h"
#include "common/log.h"
#include "common/program.h"
#include "deliver/jobs.h"

#define RENEWED_EACH 60000 /* ms: at most once */
#define AGAIN_AFTER 1000   /* ms: when it ends by itself */

struct stem {
  struct chan control; /* first */
  struct chan births;
  pid_t pid;
  unsigned int number;
};

static struct stem *stem; /* the one in use; those before it end by themselves */
static int state_fd = -1;
static uint64_t started, renewed;
static struct loop_timer renewal;

void stems_state(int dirfd)
{
  if (state_fd >= 0)
    close(state_fd);
  state_fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 10);
}

/* ---- its two channels */

static int on_control(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  (void)m; /* READY: births that were asked for before wait in its channel */
  (void)why;
  return 0;
}

static void on_control_closed(struct chan *c, const char *why)
{
  struct stem *s = (struct stem *)c;
  unsigned int number = s->number;
  int status = 0;

  kill(s->pid, SIGKILL);
  while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (s == stem) {
    stem = NULL;
    log_failed("deliver", "heloise-stem", why ? why : "it has ended");
  }
  chan_close(&s->births);
  free(s);
  jobs_stem_gone(number);
}

static int on_births(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  *why = wire_name(m->type); /* it has nothing to say here */
  return -1;
}

static void on_births_closed(struct chan *c, const char *why)
{
  (void)c; /* the other channel tells */
  (void)why;
}

/* ---- starting one */

static pid_t spawn(int control)
{
  const struct libexec_fd fd = {control, PROGRAM_CONTROL_FD};

  return libexec_start("heloise-stem", NULL, &fd, 1);
}

static void hand(struct stem *s, enum wire_type type, const char *name, int fd)
{
  struct wire_out o;

  wire_start(&o, type);
  if (type == WIRE_HELLO)
    wire_num(&o, WIRE_VERSION);
  if (name)
    wire_str(&o, name);
  chan_send(&s->control, &o, fd); /* an end that is gone is told by the loop */
}

static void hand_table(struct stem *s)
{
  int fd = table_dup(program_table());

  hand(s, WIRE_TABLE, NULL, fd);
  close(fd);
}

/* its control channel and process: 0, or -1 with errno */
static int launch(struct stem *s)
{
  static const struct chan_ops ops = {on_control, on_control_closed, NULL};
  int pair[2];

  if (chan_pair(pair) != 0)
    return -1;
  s->pid = spawn(pair[1]);
  close(pair[1]);
  if (s->pid < 0) {
    close(pair[0]);
    return -1;
  }
  if (chan_open(&s->control, pair[0], LINK_CONTROL, WIRE_HIGH, &ops) == 0)
    return 0;
  kill(s->pid, SIGKILL);
  waitpid(s->pid, NULL, 0);
  return -1;
}

static int open_births(struct stem *s)
{
  static const struct chan_ops ops = {on_births, on_births_closed, NULL};
  int pair[2];

  if (chan_pair(pair) != 0)
    return -1;
  hand(s, WIRE_CHANNEL, "deliver", pair[1]);
  close(pair[1]);
  return chan_open(&s->births, pair[0], LINK_BIRTHS, WIRE_HIGH, &ops);
}

static struct stem *start(void)
{
  static unsigned int last_number;
  struct stem *s = calloc(1, sizeof *s);

  started = loop_now();
  if (!s)
    return NULL;
  s->control.fd = s->births.fd = -1;
  s->number = ++last_number;
  if (launch(s) != 0) {
    log_failed("deliver", "heloise-stem", strerror(errno));
    free(s);
    return NULL;
  }
  hand(s, WIRE_HELLO, "stem", -1);
  if (state_fd >= 0)
    hand(s, WIRE_DIR, "state", state_fd);
  hand_table(s);
  if (open_births(s) != 0) {
    kill(s->pid, SIGKILL); /* its channel will tell */
    return NULL;
  }
  hand(s, WIRE_START, NULL, -1);
  return s;
}

/* ---- for the others */

void stems_begin(void)
{
  stem = start();
}

static int send_birth(int report)
{
  struct wire_out o;

  wire_start(&o, WIRE_BIRTH);
  return stem ? chan_send(&stem->births, &o, report) : -1;
}

unsigned int stems_birth(int report)
{
  if (send_birth(report) == 0)
    return stem->number;
  stem = NULL; /* it is ending, if it was there */
  if (started != 0 && loop_now() < started + AGAIN_AFTER) {
    errno = EAGAIN;
    return 0;
  }
  stem = start();
  return send_birth(report) == 0 ? stem->number : 0;
}

void stems_table(void)
{
  if (stem)
    hand_table(stem);
}

static void renew(struct loop_timer *t)
{
  struct stem *old = stem;

  (void)t;
  renewed = loop_now();
  stem = start();
  if (old)
    chan_close(&old->births); /* it bears those that were asked for, and ends */
  jobs_renew();
  log_started("stem", "an attempt died: those to come lie elsewhere in memory");
}

void stems_renew(void)
{
  uint64_t now = loop_now();

  renewal.fire = renew;
  if (renewal.place == 0)
    loop_timer_in(&renewal, renewed && now < renewed + RENEWED_EACH ? renewed + RENEWED_EACH - now : 0);
}
