/* localchild.c - the child that delivers one message into one mailbox
 *
 * Begins as its parent, heloise-local (root in a privileged instance), and becomes the
 * mailbox's owner before it touches a path or a byte of the message. It never touches
 * the loop it was forked from. User id 0 is refused again here. */
#include "deliver/localchild.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/settings.h"
#include "deliver/maildir.h"

enum child_fd { MESSAGE_FD = 3, REPORT_FD, MAIL_FD, FIRST_FREE_FD };

static const struct {
  int error;
  const char *status;
} statuses[] = {
  {ENOSPC, "4.3.1"}, {EDQUOT, "4.2.2"}, {EFBIG, "4.2.3"}, {EROFS, "4.3.0"},
  {EACCES, "4.2.0"}, {ELOOP, "4.2.0"},  {ENOTDIR, "4.2.0"}, {ENOENT, "4.2.0"},
};

const char *localchild_status(int error)
{
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
    if (statuses[i].error == error)
      return statuses[i].status;
  return "4.3.0";
}

/* what ends with the mark that stands between it and detail */
_Noreturn static void leave(int code, const char *status, const char *what, const char *detail)
{
  char text[LOCALCHILD_REPORT];
  int n = snprintf(text, sizeof text, "%s %s%s", status, what, detail);
  ssize_t r = write(REPORT_FD, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);

  (void)r; /* unreported: the parent judges by the exit code */
  _exit(code);
}

_Noreturn static void fail(const char *what)
{
  char text[100];
  int error = errno;

  snprintf(text, sizeof text, "%s: ", what);
  leave(LOCALCHILD_TEMP, localchild_status(error), text, strerror(error));
}

/* keeps standard error and the three given, under numbers of their own */
static void keep_descriptors(const struct localchild *c)
{
  int fd[3] = {c->message_fd, c->report_fd, c->mail_fd};

  /* first out of the way of each other, then to their places */
  for (int i = 0; i < 3; i++)
    if (fd[i] >= 0 && (fd[i] = fcntl(fd[i], F_DUPFD, FIRST_FREE_FD)) < 0)
      _exit(LOCALCHILD_TEMP);
  for (int i = 0; i < 3; i++)
    if (fd[i] < 0)
      close(MESSAGE_FD + i);
    else if (dup2(fd[i], MESSAGE_FD + i) < 0)
      _exit(LOCALCHILD_TEMP);
  close_range(FIRST_FREE_FD, ~0U, 0);
}

static void default_signals(void)
{
  sigset_t none;

  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* a Maildir under the mail directory belongs to its owner if it is there, else to the
 * mail directory's owner */
static int mailbox_owner(const char *path, uid_t *uid, gid_t *gid)
{
  struct stat st;
  int has_own = fstatat(MAIL_FD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
                st.st_uid != 0;

  if (!has_own && fstat(MAIL_FD, &st) != 0)
    return -1;
  *uid = st.st_uid;
  *gid = st.st_gid;
  return 0;
}

static void become(const struct localuser *who)
{
  uid_t uid = who->uid;
  gid_t gid = who->gid;

  if (geteuid() != 0)
    return; /* the instance of an ordinary user: everything is that user's */
  if (who->kind == LOCALUSER_MAILBOX && mailbox_owner(who->text.s, &uid, &gid) != 0)
    fail("looking at the mail directory");
  if (uid == 0)
    leave(LOCALCHILD_TEMP, "4.3.5", "the mailbox belongs to root, as whom no mail is delivered: ",
          who->text.s);
  if (who->kind == LOCALUSER_SYSTEM ? initgroups(who->text.s, gid) != 0 : setgroups(0, NULL) != 0)
    fail("setting groups");
  if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
    fail("becoming the mailbox's owner");
  if (getuid() != uid || geteuid() != uid || getegid() != gid || setuid(0) == 0)
    leave(LOCALCHILD_TEMP, "4.3.0", "becoming the mailbox's owner did not last", "");
}

static void confine(pid_t parent)
{
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  /* ids are changed: from here on this is not cleared any more */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(LOCALCHILD_TEMP);
}

static int open_base(const struct localuser *who)
{
  int fd;

  if (who->kind == LOCALUSER_MAILBOX)
    return MAIL_FD;
  if (chdir(who->home.s) != 0 || (fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
    fail("opening the home directory");
  return fd;
}

_Noreturn static void deliver(const struct localchild *c)
{
  struct maildir_message m = {
    .fd = MESSAGE_FD, .at = c->env->body_at, .len = c->env->body_len, .sender = c->env->sender,
    .recipient = c->env->rcpt[c->rcpt].address, .hostname = settings.hostname};
  const char *path = c->who->kind == LOCALUSER_MAILBOX ? c->who->text.s : settings.mailbox, *what;

  if (!localuser_is_path(path, strlen(path)))
    leave(LOCALCHILD_TEMP, "4.3.5", "this is no path of a Maildir: ", path);
  if (maildir_deliver(open_base(c->who), path, &m, &what) != 0)
    fail(what);
  leave(0, "2.0.0",
        c->who->kind == LOCALUSER_SYSTEM ? "delivered to the mailbox of " : "delivered to ",
        c->who->text.s);
}

_Noreturn void localchild_run(const struct localchild *c)
{
  keep_descriptors(c);
  default_signals();
  umask(077);
  become(c->who);
  confine(c->parent);
  deliver(c);
}
