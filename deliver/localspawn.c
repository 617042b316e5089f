/* localspawn.c - the spawner of local deliveries: what the manager asks, and children
 *
 * Runs in heloise-local: as root in a privileged instance, so it does little: looks the
 * recipient up, forks a child that becomes the mailbox's owner, sends aliases on. The
 * manager is trusted; the queue file is parsed by envelope_read(), and the child's
 * report is hostile bytes. */
#include "deliver/localspawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "deliver/localchild.h"
#include "deliver/localjob.h"

#define CHILD_PATIENCE_MS (10 * 60 * 1000)

static struct chan manager = {.fd = -1};
static int mail_fd = -1;
static int is_stopping;

/* ---- children */

static void fire_kill(struct loop_timer *t)
{
  struct localjob *j = (struct localjob *)((char *)t - offsetof(struct localjob, timer));

  kill(j->pid, SIGKILL); /* it is ours and not yet waited for; its end is reported as any */
}

static void start_child(struct localjob *j)
{
  struct localchild c = {.message_fd = j->fd, .mail_fd = mail_fd, .env = &j->env,
                         .rcpt = j->rcpt, .who = &j->who, .parent = getpid()};
  int fd[2];

  if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
    localjob_report(j, V_TEMP, "4.3.0", strerror(errno));
    return;
  }
  j->report_fd = fd[0];
  c.report_fd = fd[1];
  j->pid = fork();
  if (j->pid == 0)
    localchild_run(&c);
  close(fd[1]);
  if (j->pid < 0) {
    j->pid = 0;
    localjob_report(j, V_TEMP, "4.3.0", strerror(errno));
    return;
  }
  j->timer.fire = fire_kill;
  loop_timer_in(&j->timer, CHILD_PATIENCE_MS);
}

/* "STATUS TEXT" in text: status is cut off and returned, NULL when it is none of v's */
static const char *split_report(char *text, enum verdict v, const char **rest)
{
  char *space = strchr(text, ' ');

  *rest = text;
  if (!space || text[0] != (v == V_OK ? '2' : v == V_TEMP ? '4' : '5') || text[1] != '.' ||
      space - text > 9 || strspn(text, "0123456789.") != (size_t)(space - text))
    return NULL;
  *space = 0;
  *rest = space + 1;
  return text;
}

static void child_ended(struct localjob *j, int how)
{
  char text[LOCALCHILD_REPORT + 1], said[64];
  const char *status, *rest;
  ssize_t n = read(j->report_fd, text, LOCALCHILD_REPORT);
  enum verdict v = V_TEMP;

  j->pid = 0;
  loop_timer_stop(&j->timer);
  text[n > 0 ? n : 0] = 0;
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0)
    v = V_OK;
  else if (WIFEXITED(how) && WEXITSTATUS(how) == LOCALCHILD_PERM)
    v = V_PERM;
  if (WIFSIGNALED(how))
    snprintf(said, sizeof said, "delivery ended by signal %d", WTERMSIG(how));
  else
    snprintf(said, sizeof said, "delivery ended with exit code %d", WEXITSTATUS(how));
  status = split_report(text, v, &rest);
  j->is_kept = v == V_OK;
  if (j->is_kept && j->sends_on)
    localjob_send_on(j);
  else if (status && !WIFSIGNALED(how))
    localjob_report(j, v, status, rest);
  else
    localjob_report(j, v, v == V_OK ? "2.0.0" : v == V_PERM ? "5.3.0" : "4.3.0", said);
}

static void on_signal(struct loop_handler *h, int fd, int events)
{
  struct signalfd_siginfo info;
  pid_t pid;
  int how;

  (void)h;
  (void)events;
  while (read(fd, &info, sizeof info) > 0)
    ;
  loop_drained(fd, LOOP_READ);
  while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
    struct localjob *j = localjob_of(pid);
    if (j) /* else of a manager that is no more */
      child_ended(j, how);
  }
}

int localspawn_start(void)
{
  static struct loop_handler handler = {on_signal};
  sigset_t set;
  int fd;

  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
    return -1;
  fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0 || loop_add(fd, &handler) != 0)
    return -1;
  loop_want(fd, LOOP_READ);
  return 0;
}

/* ---- jobs */

static enum verdict look_up(struct localjob *j, int flags, const char **why)
{
  const char *address = localjob_rcpt(j)->address, *at = strrchr(address, '@');
  size_t len = at ? (size_t)(at - address) : strlen(address);

  if (geteuid() == 0)
    flags |= LOCALUSER_HAS_SYSTEM;
  return localuser_find(program_table(), address, len, flags, &j->who, why);
}

static void refuse(struct localjob *j, enum verdict v, const char *why)
{
  if (v == V_PERM)
    localjob_report(j, V_PERM, "5.1.1", "no such user here");
  else
    localjob_report(j, V_TEMP, "4.3.0", why);
}

/* an alias that names itself keeps a copy in its own mailbox, which comes first: only when
 * it has succeeded is the message sent on */
static void begin(struct localjob *j)
{
  const char *why = "";
  enum verdict v = look_up(j, 0, &why);
  int has_self = 0;

  if (v == V_OK && j->who.kind == LOCALUSER_ALIAS) {
    if (forward_addresses(&j->forward, j->who.text.s, j->who.text.len, localjob_rcpt(j)->address,
                          &has_self) != 0) {
      localjob_report(j, V_TEMP, "4.3.0", "out of memory");
      return;
    }
    j->sends_on = j->forward.to_count > 0;
    if (!has_self && j->sends_on) {
      localjob_send_on(j);
      return;
    }
    v = look_up(j, LOCALUSER_NO_ALIAS, &why);
  }
  if (v != V_OK)
    refuse(j, v, why);
  else if (j->who.kind == LOCALUSER_ALIAS) /* the rule for root leads back to root */
    localjob_report(j, V_PERM, "5.4.6", "mail loop: the alias leads to itself");
  else
    start_child(j);
}

static void take_job(struct localjob *j, const struct wire_msg *m)
{
  const char *why = "";
  uint64_t created;

  if (envelope_read(j->fd, &j->env, &why) != 0) {
    localjob_give_up(j, errno == EBADMSG ? why : strerror(errno));
    return;
  }
  if (m->n > 5 && wire_get_num(m, 5, UINT64_MAX, &created) == 0)
    j->env.created = created; /* by the clock of today */
  if (!wire_is(m, 2, "local") || j->rcpt >= j->env.nrcpt || localjob_rcpt(j)->status != RCPT_TODO) {
    localjob_give_up(j, "not a job for local delivery");
    return;
  }
  begin(j);
}

static int on_attempt(struct wire_msg *m, const char **why)
{
  uint64_t number, tries, rcpt;
  struct localjob *j;

  *why = "an attempt that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 || wire_get_num(m, 3, 65535, &tries) != 0 ||
      wire_get_num(m, 4, 1000000, &rcpt) != 0)
    return -1;
  if (is_stopping || !(j = localjob_new(number, m->fd))) {
    localjob_finished(number, is_stopping ? "stopping" : "no room for another delivery");
    return 0;
  }
  m->fd = -1;
  j->tries = (unsigned int)tries;
  j->rcpt = (size_t)rcpt;
  take_job(j, m);
  return 0;
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  uint64_t number;
  struct wire_out o;

  (void)c;
  if (m->type == WIRE_ATTEMPT)
    return on_attempt(m, why);
  /* FORGET: local deliveries remember no peers */
  *why = "a job that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  wire_start(&o, WIRE_FORGOTTEN);
  wire_num(&o, number);
  wire_num(&o, 0);
  chan_send(&manager, &o, -1);
  return 0;
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("queue", why);
  localjob_abandon_all();
}

static const struct chan_ops ops = {on_message, on_closed, NULL};

int localspawn_manager(int fd)
{
  chan_close(&manager);
  localjob_abandon_all();
  localjob_manager(&manager);
  return chan_open(&manager, fd, LINK_ATTEMPTS, WIRE_LOW, &ops);
}

/* as root, nobody may deliver into a mail directory that is root's own: it becomes the
 * queue's user's, who has held that mail already */
static void give_away(int fd)
{
  struct confine_ids ids;
  struct stat st;

  if (geteuid() != 0 || fstat(fd, &st) != 0 || st.st_uid != 0)
    return;
  if (confine_ids_find("hlqueue", &ids) != 0 || fchown(fd, ids.uid, ids.gid) != 0)
    log_warning("local", "the mail directory belongs to root, as whom no mail is delivered: "
                         "mail to postmaster and to mailboxes in it waits");
}

void localspawn_mail(int fd)
{
  if (mail_fd >= 0)
    close(mail_fd);
  mail_fd = fd;
  give_away(fd);
}

static void fire_finish(struct loop_timer *t)
{
  (void)t;
  program_done();
}

void localspawn_stop(unsigned int ms)
{
  static struct loop_timer timer = {.fire = fire_finish};

  is_stopping = 1;
  localjob_when_idle(program_done);
  if (localjob_count() == 0 || loop_timer_in(&timer, ms) != 0)
    program_done();
}
