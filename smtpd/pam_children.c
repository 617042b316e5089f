/* pam_children.c - questions to PAM, a process each
 *
 * Runs in heloise-pam, as root in a privileged instance. Login and password are hostile
 * bytes that heloise-auth passed on; they go to PAM as they are, and into no log line. The
 * child says what it found by its exit code. */
#include "smtpd/pam_children.h"

#include <errno.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/ip.h"
#include "common/log.h"
#include "common/program.h"
#include "common/sasl.h"
#include "common/secret.h"
#include "common/verdict.h"
#include "smtpd/password.h"

#define CHILDREN 16 /* at once; more wait in the channel */

enum { SAYS_YES = 0, SAYS_NO = 100, SAYS_UNSURE = 111 };

struct child {
  struct loop_handler handler; /* first: of its pidfd */
  struct loop_timer timer;
  int pidfd; /* -1: free */
  uint64_t number;
};

static struct child children[CHILDREN];
static int running;
static struct chan asker = {.fd = -1};
static unsigned long channel; /* how many there have been: answers to an old one are not sent */
static unsigned long channel_of[CHILDREN];

/* ---- in the child */

struct said {
  const char *login, *password;
};

/* PAM's questions: what is not to be seen is the password */
static int converse(int n, const struct pam_message **m, struct pam_response **out, void *arg)
{
  const struct said *said = arg;
  struct pam_response *r = n > 0 && n <= PAM_MAX_NUM_MSG ? calloc((size_t)n, sizeof *r) : NULL;

  if (!r)
    return PAM_CONV_ERR;
  for (int i = 0; i < n; i++)
    if (m[i]->msg_style == PAM_PROMPT_ECHO_OFF)
      r[i].resp = strdup(said->password);
    else if (m[i]->msg_style == PAM_PROMPT_ECHO_ON)
      r[i].resp = strdup(said->login);
  *out = r;
  return PAM_SUCCESS;
}

/* we make clients wait ourselves, and all alike */
static void no_delay(int status, unsigned int usec, void *arg)
{
  (void)status;
  (void)usec;
  (void)arg;
}

static int exit_of(int r)
{
  switch (r) {
  case PAM_SUCCESS:
    return SAYS_YES;
  case PAM_AUTH_ERR:
  case PAM_USER_UNKNOWN:
  case PAM_MAXTRIES:
  case PAM_ACCT_EXPIRED:
  case PAM_CRED_EXPIRED:
  case PAM_NEW_AUTHTOK_REQD:
  case PAM_PERM_DENIED:
  case PAM_CRED_INSUFFICIENT:
    return SAYS_NO;
  default:
    return SAYS_UNSURE;
  }
}

static _Noreturn void ask(const char *login, const char *password, const char *ip)
{
  struct said said = {login, password};
  const struct pam_conv conv = {converse, &said};
  pam_handle_t *h = NULL;
  int r;

  signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close_range(3, ~0U, 0);
  r = pam_start(PAM_SERVICE_NAME, login, &conv, &h);
  if (r == PAM_SUCCESS) {
    pam_set_item(h, PAM_RHOST, ip);
    pam_set_item(h, PAM_FAIL_DELAY, (const void *)(uintptr_t)no_delay);
    r = pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
  }
  if (r == PAM_SUCCESS)
    r = pam_acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
  if (h)
    pam_end(h, r | PAM_DATA_SILENT);
  _exit(exit_of(r));
}

/* ---- in the parent */

static void answer(uint64_t number, enum verdict v)
{
  struct wire_out o;

  wire_start(&o, WIRE_CHECKED);
  wire_num(&o, number);
  wire_str(&o, verdict_word(v));
  chan_send(&asker, &o, -1); /* unsent: heloise-auth has a clock of its own */
}

static void ended(struct loop_handler *h, int fd, int events)
{
  struct child *c = (struct child *)h;
  siginfo_t how = {0};
  enum verdict v = V_TEMP;

  (void)events;
  if (waitid(P_PIDFD, (id_t)fd, &how, WEXITED | WNOHANG) != 0 || how.si_pid == 0) {
    loop_drained(fd, LOOP_READ);
    return;
  }
  if (how.si_code == CLD_EXITED && how.si_status == SAYS_YES)
    v = V_OK;
  else if (how.si_code == CLD_EXITED && how.si_status == SAYS_NO)
    v = V_PERM;
  loop_timer_stop(&c->timer);
  loop_close(c->pidfd);
  c->pidfd = -1;
  running--;
  if (channel_of[c - children] == channel)
    answer(c->number, v);
  chan_resume(&asker);
}

static void on_timer(struct loop_timer *t)
{
  struct child *c = (struct child *)((char *)t - offsetof(struct child, timer));

  log_failed("pam", "PAM", "no answer in time");
  pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
}

static struct child *free_child(void)
{
  for (int i = 0; i < CHILDREN; i++)
    if (children[i].handler.ready == NULL || children[i].pidfd < 0)
      return &children[i];
  return NULL;
}

/* 0, or -1: it cannot be asked now */
static int start(uint64_t number, const char *login, const char *password, const char *ip)
{
  struct child *c = free_child();
  pid_t pid = c ? fork() : -1;

  if (pid == 0)
    ask(login, password, ip);
  if (pid < 0)
    return -1;
  c->handler.ready = ended;
  c->timer.fire = on_timer;
  c->number = number;
  channel_of[c - children] = channel;
  c->pidfd = pidfd_open(pid, 0);
  if (c->pidfd < 0 || loop_add(c->pidfd, &c->handler) != 0 || loop_timer_in(&c->timer, PAM_MS) != 0) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (c->pidfd >= 0)
      loop_close(c->pidfd);
    c->pidfd = -1;
    return -1;
  }
  loop_want(c->pidfd, LOOP_READ);
  if (++running == CHILDREN)
    chan_pause(&asker);
  return 0;
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  stralloc login = {0}, password = {0}, ip = {0};
  uint64_t number;
  int r = -1;

  (void)c;
  *why = "a question that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) == 0 &&
      wire_get_text(m, 1, SASL_LOGIN_MAX, &login) == 0 &&
      stralloc_ready(&password, PASSWORD_MAX + 1) &&
      wire_get_text(m, 2, PASSWORD_MAX, &password) == 0 && wire_get_text(m, 3, IP_TEXT, &ip) == 0) {
    r = 0;
    if (start(number, login.s, password.s, ip.s) != 0)
      answer(number, V_TEMP);
  }
  secret_free(&password);
  stralloc_free(&login);
  stralloc_free(&ip);
  chan_wipe();
  return r;
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_fault("auth", why);
}

int pam_children_channel(int fd)
{
  static const struct chan_ops ops = {on_message, on_closed, NULL};
  int r;

  chan_close(&asker);
  channel++;
  r = chan_open(&asker, fd, LINK_CHECKS, WIRE_HIGH, &ops);
  if (r == 0 && running == CHILDREN)
    chan_pause(&asker);
  return r;
}
