/* reports.c - reports to senders: starts heloise-bounce
 *
 * Runs in the manager. A bounce gets the queue file read-only, the tables, and a channel of
 * its own to the intake; its exit code says whether the report is queued. */
#include "queue/reports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/libexec.h"
#include "common/log.h"
#include "common/program.h"
#include "queue/compose.h"
#include "queue/owed.h"

#define AT_ONCE 10
#define LINE_MAX_REPORTS 1000 /* that wait; messages beyond it come again */
#define LINE_MAX_WARNINGS 100 /* a short line: an attempt that comes due has to wait for it */
#define PAUSE_MAX 60          /* seconds between tries while none succeeds */
#define WAIT_SHORT 10         /* seconds for a message that is to come again */
#define WAIT_LONG 60

struct report {
  struct loop_handler handler; /* first */
  struct report *next;
  struct work *work;
  pid_t pid;
  int pidfd;
};

static struct chan *intake;
static int queue_fd = -1;
static struct report *waiting, *waiting_last;
static size_t running, in_line;
static unsigned int failures; /* since the last one that was queued */
static struct loop_timer pause_timer;
static int is_paused, is_ending;

void reports_open(struct chan *c, int fd)
{
  intake = c;
  queue_fd = fd;
}

static void start_next(void);

static void on_pause_over(struct loop_timer *t)
{
  (void)t;
  is_paused = 0;
  start_next();
}

static struct report *take_waiting(void)
{
  struct report *r = waiting;

  waiting = r->next;
  in_line--;
  return r;
}

static void end(struct report *r, int ok)
{
  struct work *w = r->work;

  free(r);
  owed_paid(w, ok);
}

/* while reports cannot be queued one is tried at a time, and ever more rarely; no message waits
 * for that in line, where its other recipients would wait with it */
static void over(struct report *r, int ok)
{
  unsigned int pause = failures < 6 ? 1U << failures : PAUSE_MAX;

  failures = ok ? 0 : failures + 1;
  if (!ok) {
    pause_timer.fire = on_pause_over;
    is_paused = loop_timer_in(&pause_timer, pause * 1000) == 0;
  }
  end(r, ok);
  while (is_paused && waiting)
    end(take_waiting(), 0);
}

static void on_exit_of_bounce(struct loop_handler *h, int fd, int events)
{
  struct report *r = (struct report *)h;
  int status = 0;

  (void)events;
  if (waitpid(r->pid, &status, WNOHANG) == 0) {
    loop_drained(fd, LOOP_READ);
    return;
  }
  loop_close(fd);
  running--;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    log_warning("bounce", "a report to a sender could not be queued; it is tried again");
  over(r, WIFEXITED(status) && WEXITSTATUS(status) == 0);
  start_next();
}

/* the intake's end of a channel goes to it; ours is returned, or -1 */
static int inject_channel(void)
{
  struct wire_out o;
  int fd[2];

  if (chan_pair(fd) != 0)
    return -1;
  wire_start(&o, WIRE_CLIENT);
  wire_str(&o, "bounce");
  if (chan_send(intake, &o, fd[1]) != 0) {
    close(fd[0]);
    fd[0] = -1;
  }
  close(fd[1]);
  return fd[0];
}

/* starts heloise-bounce with file, channel and tables as descriptors 0, 3 and 4 */
static pid_t spawn(int file, int channel, int tables, int warns)
{
  const struct libexec_fd fd[] = {{file, 0}, {channel, 3}, {tables, 4}};

  return libexec_start("heloise-bounce", warns ? COMPOSE_WARNS : NULL, fd, sizeof fd / sizeof *fd);
}

/* moves a descriptor above those that spawn() fills; closes the old one */
static int lift(int fd)
{
  int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);

  if (fd >= 0)
    close(fd);
  return high;
}

static int start(struct report *r)
{
  int file = lift(store_open(queue_fd, &r->work->name, O_RDONLY)), channel = lift(inject_channel());
  int tables = lift(table_dup(program_table()));

  r->pid = file < 0 || channel < 0 || tables < 0 ? -1 : spawn(file, channel, tables, r->work->is_warning);
  if (file >= 0)
    close(file);
  if (channel >= 0)
    close(channel);
  if (tables >= 0)
    close(tables);
  if (r->pid < 0)
    return -1;
  r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
  r->handler.ready = on_exit_of_bounce;
  if (r->pidfd < 0 || loop_add(r->pidfd, &r->handler) != 0) {
    int status = -1; /* no descriptors left: wait here, a bounce is short */
    waitpid(r->pid, &status, 0);
    over(r, WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
  }
  loop_want(r->pidfd, LOOP_READ);
  running++;
  return 0;
}

static void start_next(void)
{
  while (waiting && !is_paused && !is_ending && running < (failures ? 1 : AT_ONCE)) {
    struct report *r = take_waiting();
    if (start(r) != 0) {
      log_failed("queue", "heloise-bounce", strerror(errno));
      over(r, 0);
    }
  }
}

unsigned int reports_wait(int is_warning)
{
  if (is_paused || (failures && running + in_line > 0))
    return WAIT_LONG;
  return in_line < (is_warning ? LINE_MAX_WARNINGS : LINE_MAX_REPORTS) ? 0 : WAIT_SHORT;
}

void reports_start(struct work *w)
{
  struct report *r = calloc(1, sizeof *r);

  if (!r) {
    owed_paid(w, 0);
    return;
  }
  r->work = w;
  if (waiting)
    waiting_last->next = r;
  else
    waiting = r;
  waiting_last = r;
  in_line++;
  start_next();
}

int reports_end(void)
{
  is_ending = 1;
  return running > 0;
}
