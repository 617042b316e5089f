/* user_command.c - `heloise user`: logins and passwords in control/users
 *
 * Runs in `heloise`, as the caller. Works on the text, so that comments stay; `heloise
 * build` or `reload` puts it in force. A password is read from the terminal without echo,
 * or as the first line of standard input; it is never an argument, which others could see. */
#include "conf/user_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <termios.h>
#include <unistd.h>

#include "common/sasl.h"
#include "common/secret.h"
#include "common/verdict.h"
#include "conf/lines.h"
#include "conf/tabletypes.h"
#include "smtpd/password.h"

/* ---- the text */

static int is_login(const struct line *l, const char *login)
{
  stralloc name = {0};
  int r = sasl_login(l->key, l->keylen, &name) == 0 && strcmp(name.s, login) == 0;

  stralloc_free(&name);
  return r;
}

/* the line of this login: 1, or 0 */
static int find(const stralloc *text, const char *login, struct line *l)
{
  struct lines ls;
  const char *why;
  int got;

  lines_start(&ls, text);
  while ((got = lines_next(&ls, l, &why)) != 0)
    if (got > 0 && l->keylen > 0 && is_login(l, login))
      return 1;
  return 0;
}

int user_edit(const stralloc *text, const char *login, const char *value, stralloc *out)
{
  size_t head = text->len, tail = text->len;
  struct line l;
  const char *end;

  if (find(text, login, &l)) {
    head = (size_t)(l.start - text->s);
    end = memchr(l.start, '\n', text->len - head);
    tail = end ? (size_t)(end + 1 - text->s) : text->len;
  }
  if (!stralloc_copyb(out, text->s, head) ||
      (value && head > 0 && text->s[head - 1] != '\n' && !stralloc_cats(out, "\n")))
    return -1;
  if (value && (!stralloc_cats(out, login) || !stralloc_cats(out, "  ") ||
                !stralloc_cats(out, value) || !stralloc_cats(out, "\n")))
    return -1;
  return stralloc_catb(out, text->s + tail, text->len - tail) ? 0 : -1;
}

/* ---- the password */

/* one line of fd, without its end, NUL-terminated: 0, or -1 */
static int read_line(int fd, char out[PASSWORD_MAX + 2])
{
  size_t n = 0;
  char c;

  while (read(fd, &c, 1) == 1 && c != '\n') {
    if (n > PASSWORD_MAX)
      return -1;
    out[n++] = c;
  }
  if (n > 0 && out[n - 1] == '\r')
    n--;
  out[n] = 0;
  return n > 0 && strlen(out) == n ? 0 : -1;
}

static int ask(int tty, const char *prompt, char out[PASSWORD_MAX + 2])
{
  struct termios before, quiet;
  int r;

  if (tcgetattr(tty, &before) != 0)
    return -1;
  quiet = before;
  quiet.c_lflag &= ~(tcflag_t)ECHO;
  quiet.c_lflag |= ECHONL;
  if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
    return -1;
  fputs(prompt, stderr); /* only now: what is typed before would be shown, and thrown away */
  r = read_line(tty, out);
  tcsetattr(tty, TCSAFLUSH, &before);
  return r;
}

/* 0, or -1 after a complaint */
static int take_password(char out[PASSWORD_MAX + 2])
{
  char again[PASSWORD_MAX + 2];
  int r;

  if (!isatty(0)) {
    r = read_line(0, out);
    if (r != 0)
      fprintf(stderr, "heloise: user: expected a password of 1 to %d bytes on standard input\n",
              PASSWORD_MAX);
    return r;
  }
  if (ask(0, "Password: ", out) != 0 || ask(0, "Again: ", again) != 0) {
    fprintf(stderr, "heloise: user: no password was given\n");
    return -1;
  }
  r = strcmp(out, again) == 0 ? 0 : -1;
  explicit_bzero(again, sizeof again);
  if (r != 0)
    fprintf(stderr, "heloise: user: the two are not the same; nothing is changed\n");
  return r;
}

/* the value for a login's line, from a password that is asked for: 0, or an exit code */
static int make_value(stralloc *value)
{
  char password[PASSWORD_MAX + 2];
  const char *why;
  int r = take_password(password) == 0 ? EXIT_OK : EXIT_DATA;

  if (r == EXIT_OK && password_make(password, value, &why) != 0) {
    fprintf(stderr, "heloise: user: %s\n", why);
    r = EXIT_DATA;
  }
  explicit_bzero(password, sizeof password);
  return r;
}

/* ---- the commands */

static int fail(const struct instance *i, int e)
{
  fprintf(stderr, "heloise: cannot change %s/users: %s\n", i->control, strerror(e));
  return e == EACCES || e == EPERM || e == EROFS ? EXIT_NOPERM : EXIT_TEMPFAIL;
}

static int read_text(int dir, stralloc *text)
{
  if (dir < 0)
    return -1;
  return lines_read(dir, "users", text) == 0 || errno == ENOENT ? 0 : -1;
}

enum need { NEW, OLD };

/* under a lock: reads, edits and replaces the file */
static int change(const struct instance *i, const char *login, const char *value, enum need need)
{
  stralloc text = {0}, edited = {0};
  int dir = open(i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = EXIT_OK;
  struct line l;

  if (dir < 0 || flock(dir, LOCK_EX) != 0 || read_text(dir, &text) != 0) {
    r = fail(i, errno);
  } else if (find(&text, login, &l) != (need == OLD)) {
    fprintf(stderr, need == OLD ? "heloise: user: there is no login %s\n"
                                : "heloise: user: there is a login %s already\n", login);
    r = need == OLD ? EXIT_NOUSER : EXIT_CANTCREAT;
  } else if (user_edit(&text, login, value, &edited) != 0 ||
             lines_replace_as(dir, "users", &edited, TABLETYPES_SECRET) != 0) {
    r = fail(i, errno);
  }
  if (dir >= 0)
    close(dir);
  secret_free(&text);
  secret_free(&edited);
  return r;
}

/* whether a line for it would make sense, before a password is asked for */
static int is_there(const struct instance *i, const char *login)
{
  stralloc text = {0};
  int dir = open(i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
  struct line l;

  r = read_text(dir, &text) == 0 && find(&text, login, &l);
  if (dir >= 0)
    close(dir);
  secret_free(&text);
  return r;
}

static int set_password(const struct instance *i, const char *login, enum need need)
{
  stralloc value = {0};
  int r;

  if (is_there(i, login) != (need == OLD))
    return change(i, login, NULL, need); /* says so */
  r = make_value(&value);
  if (r == EXIT_OK)
    r = change(i, login, value.s, need);
  secret_free(&value);
  return r;
}

static int add(const struct instance *i, const char *login)
{
  return set_password(i, login, NEW);
}

static int passwd(const struct instance *i, const char *login)
{
  return set_password(i, login, OLD);
}

static int take_out(const struct instance *i, const char *login)
{
  return change(i, login, NULL, OLD);
}

static int list(const struct instance *i, const char *login)
{
  stralloc text = {0};
  int dir = open(i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = EXIT_OK, got;
  struct lines ls;
  struct line l;
  const char *why;

  (void)login;
  if (read_text(dir, &text) != 0) {
    fprintf(stderr, "heloise: cannot read %s/users: %s\n", i->control, strerror(errno));
    r = EXIT_NOPERM;
  }
  lines_start(&ls, &text);
  while (text.len > 0 && (got = lines_next(&ls, &l, &why)) != 0)
    if (got > 0 && l.keylen > 0)
      printf("%.*s\n", (int)l.keylen, l.key);
  if (dir >= 0)
    close(dir);
  secret_free(&text);
  return ferror(stdout) ? EXIT_IOERR : r;
}

static const struct {
  const char *name;
  int (*run)(const struct instance *i, const char *login);
  int has_login;
} verbs[] = {{"add", add, 1}, {"passwd", passwd, 1}, {"remove", take_out, 1}, {"list", list, 0}};

static int usage(void)
{
  fprintf(stderr, "usage: heloise user add NAME | passwd NAME | remove NAME | list\n");
  return EXIT_USAGE;
}

int user_command(const struct instance *i, int argc, char **argv)
{
  stralloc login = {0};
  int r;

  for (size_t n = 0; argc >= 2 && n < sizeof verbs / sizeof *verbs; n++) {
    if (strcmp(argv[1], verbs[n].name) != 0)
      continue;
    if (argc != 2 + verbs[n].has_login)
      return usage();
    if (verbs[n].has_login && (sasl_login(argv[2], strlen(argv[2]), &login) != 0 ||
                               strpbrk(argv[2], " \t") || argv[2][0] == '#')) {
      fprintf(stderr, "heloise: user: expected a login of at most 255 bytes, without spaces\n");
      return EXIT_USAGE;
    }
    r = verbs[n].run(i, login.s);
    stralloc_free(&login);
    return r;
  }
  return usage();
}
