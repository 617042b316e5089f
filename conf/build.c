/* build.c - `heloise check` and `build`: control tables to one cdb file, all or nothing
 *
 * Runs in `heloise`, as the caller. Programs in service have the old file open and keep it
 * until `heloise reload`; the new one takes its name only when it is complete and flushed. */
#include "conf/build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/service.h"
#include "common/settings.h"
#include "common/table.h"
#include "common/verdict.h"
#include "conf/lines.h"
#include "conf/selfsigned.h"
#include "conf/tabletypes.h"
#include "smtpd/backend_users.h"

#define FRESH "." INSTANCE_TABLES ".new"
#define FRESH_LOGINS "." INSTANCE_LOGINS ".new"
#define DECOY_BYTES 32

struct builder {
  struct table_maker *maker, *secret_maker;
  struct build_report *report;
  const char *label;
  stralloc why;
  int control;      /* the directory */
  stralloc refused; /* settings whose line is there but bad: each name followed by a NUL */
  unsigned int lines; /* taken of this table */
  struct tablekey key;
};

/* label/table:line: text; line 0: without a number */
static void complain(struct build_report *r, const char *label, const char *table,
                     unsigned int line, const char *text)
{
  stralloc *t = &r->text;

  if (stralloc_cats(t, label) && stralloc_cats(t, "/") && stralloc_cats(t, table) &&
      (line == 0 || (stralloc_cats(t, ":") && stralloc_cats(t, log_num(line)))) &&
      stralloc_cats(t, ": ") && stralloc_cats(t, text))
    stralloc_cats(t, "\n");
}

static void fault(struct builder *b, const char *table, unsigned int line, const char *text)
{
  b->report->errors++;
  complain(b->report, b->label, table, line, text);
}

static void warn(struct builder *b, const char *table, unsigned int line, const char *text)
{
  stralloc said = {0};

  if (stralloc_copys(&said, "warning: ") && stralloc_cats(&said, text) && stralloc_0(&said))
    complain(b->report, b->label, table, line, said.s);
  stralloc_free(&said);
}

/* what the value is, and the files it names: 0, or -1 after a complaint; -2 (ENOMEM) */
static int judge_value(struct builder *b, const struct tabletype *t, const struct line *l)
{
  int r = t->value(&b->key, l->value, l->valuelen, &b->why);

  if (r == 0 && t->files)
    r = t->files(b->control, &b->key, l->value, l->valuelen, &b->why);
  if (r == 0)
    return 0;
  if (!stralloc_0(&b->why))
    return -2;
  if (r > 0)
    warn(b, t->name, l->number, b->why.s);
  else
    fault(b, t->name, l->number, b->why.s);
  return r > 0 ? 0 : -1;
}

static int store(struct builder *b, const struct tabletype *t, const struct line *l)
{
  const struct tablekey *k = &b->key;
  struct table_maker *maker = t->is_secret ? b->secret_maker : b->maker;

  if (k->is_net)
    return table_maker_add_net(maker, t->name, k->prefix, &k->net, l->value, l->valuelen);
  return table_maker_add(maker, t->name, k->text.s, k->text.len, l->value, l->valuelen);
}

/* a line that was refused is there all the same: 0, or -1 (ENOMEM) */
static int note_refused(struct builder *b, const struct tabletype *t, const struct line *l)
{
  if (strcmp(t->name, "settings") != 0)
    return 0;
  return stralloc_catb(&b->refused, l->key, l->keylen) && stralloc_0(&b->refused) ? 0 : -1;
}

static int is_refused(const struct builder *b, const char *setting)
{
  for (size_t at = 0; at < b->refused.len; at += strlen(b->refused.s + at) + 1)
    if (strcmp(b->refused.s + at, setting) == 0)
      return 1;
  return 0;
}

/* 0; -1 with errno when the file cannot be written */
static int take_line(struct builder *b, const struct tabletype *t, const struct line *l)
{
  const char *why;
  int r;

  b->key.is_net = 0;
  b->key.prefix = "";
  if (t->key(l->key, l->keylen, &b->key, &why) != 0) {
    fault(b, t->name, l->number, why);
    return 0;
  }
  r = judge_value(b, t, l);
  if (r != 0)
    return r == -1 ? note_refused(b, t, l) : -1;
  r = store(b, t, l);
  if (r == 0)
    b->lines++;
  if (r > 0)
    fault(b, t->name, l->number, "expected each key once; this one stands on an earlier line");
  return r < 0 ? -1 : 0;
}

static int take_table(struct builder *b, int dirfd, const struct tabletype *t)
{
  stralloc text = {0};
  struct lines ls;
  struct line l;
  const char *why;
  int r = 0, got;

  if (lines_read(dirfd, t->name, &text) != 0) {
    if (errno != ENOENT)
      fault(b, t->name, 0, strerror(errno));
    stralloc_free(&text);
    return 0;
  }
  b->lines = 0;
  lines_start(&ls, &text);
  while (r == 0 && (got = lines_next(&ls, &l, &why)) != 0) {
    if (got < 0) {
      fault(b, t->name, l.number, why);
      r = note_refused(b, t, &l);
    } else if (l.keylen > 0) {
      r = take_line(b, t, &l);
    }
  }
  if (r == 0 && b->lines > 0 &&
      table_maker_add(b->maker, TABLE_OF_TABLES, t->name, strlen(t->name), "", 0) != 0)
    r = -1;
  stralloc_free(&text);
  return r;
}

/* a secret that everybody can read is none */
static void judge_mode(struct builder *b, int dirfd, const struct tabletype *t)
{
  struct stat st;

  if (t->is_secret && fstatat(dirfd, t->name, &st, 0) == 0 && (st.st_mode & 007))
    fault(b, t->name, 0, "other users can read it; chmod 600 (or 640)");
}

/* what salts are made up from, for logins that do not exist: kept from build to build, so that
 * they do not change when those of real ones stay */
static int put_decoy(struct builder *b, int dirfd)
{
  int fd = openat(dirfd, INSTANCE_LOGINS, O_RDONLY | O_CLOEXEC), r = -1;
  struct table *old = fd < 0 ? NULL : table_open(fd);
  unsigned char fresh[DECOY_BYTES];
  struct table_value v;
  stralloc text = {0};

  if (fd >= 0)
    close(fd);
  if (table_get(old, USERS_DECOY_TABLE, USERS_DECOY_KEY, strlen(USERS_DECOY_KEY), &v) && v.len > 0)
    r = stralloc_copyb(&text, v.s, v.len) ? 0 : -1;
  else if (getrandom(fresh, sizeof fresh, 0) == (ssize_t)sizeof fresh)
    r = base64_encode(&text, (const char *)fresh, sizeof fresh);
  if (r == 0 && table_maker_add(b->secret_maker, USERS_DECOY_TABLE, USERS_DECOY_KEY,
                                strlen(USERS_DECOY_KEY), text.s, text.len) != 0)
    r = -1;
  table_close(old);
  secret_free(&text);
  return r;
}

/* what must be there for the whole to make sense */
static void judge_whole(struct builder *b, int fd)
{
  struct table *t = table_open(fd);
  struct table_value v;

  for (size_t i = 0; t && i < settings_count(); i++) {
    const struct setting *s = settings_row(i);
    if (s->value || is_refused(b, s->name) ||
        table_get(t, "settings", s->name, strlen(s->name), &v))
      continue;
    if (stralloc_copys(&b->why, "expected a line for ") && stralloc_cats(&b->why, s->name) &&
        stralloc_cats(&b->why, ": ") && stralloc_cats(&b->why, s->help) && stralloc_0(&b->why))
      fault(b, "settings", 0, b->why.s);
  }
  table_close(t);
}

static int is_leftover(const char *name)
{
  static const char *const ends[] = {"~", ".cdb", ".bak", ".orig", ".old", ".new", ".save", ".swp"};
  size_t len = strlen(name);

  if (name[0] == '.' || name[0] == '#')
    return 1;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (len > strlen(ends[i]) && strcmp(name + len - strlen(ends[i]), ends[i]) == 0)
      return 1;
  return strstr(name, ".dpkg-") != NULL;
}

static int needs_certificate(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  const struct service *s = service_find(v->s, v->len);

  (void)arg;
  (void)key;
  (void)keylen;
  return s && s->is_tls_first;
}

static int any(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  (void)arg;
  (void)key;
  (void)keylen;
  (void)v;
  return 1;
}

/* a service that begins with TLS is dead without a certificate */
static void judge_services(struct builder *b, int fd)
{
  struct table *t = table_open(fd);

  if (t && table_each(t, "listen", needs_certificate, NULL) && !table_each(t, "certificates", any, NULL))
    fault(b, "listen", 0, "submissions needs a certificate: expected a line in table certificates");
  table_close(t);
}

/* a misspelt name, or one for later, must not be a table that quietly does nothing */
static void judge_strangers(struct builder *b, int dirfd)
{
  int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  const struct dirent *e;
  char why[64];

  if (!d)
    return;
  while ((e = readdir(d))) {
    if (is_leftover(e->d_name) || tabletypes_find(e->d_name) ||
        strcmp(e->d_name, SELFSIGNED_DIR) == 0)
      continue;
    if (tabletypes_is_later(e->d_name)) {
      snprintf(why, sizeof why, "table %s is not understood yet", e->d_name);
      fault(b, e->d_name, 0, why);
    } else {
      warn(b, e->d_name, 0, "no table has this name; it is not read");
    }
  }
  closedir(d);
}

int build_compile(int dirfd, const char *label, int fd, int secret_fd, struct build_report *report)
{
  struct builder b = {.report = report, .label = label, .control = dirfd};
  int r = 0;

  b.maker = table_maker_start(fd);
  b.secret_maker = b.maker ? table_maker_start(secret_fd) : NULL;
  if (b.maker && !b.secret_maker)
    table_maker_finish(b.maker);
  if (!b.secret_maker)
    return -1;
  for (size_t i = 0; r == 0 && i < tabletypes_count(); i++) {
    r = take_table(&b, dirfd, tabletypes_row(i));
    judge_mode(&b, dirfd, tabletypes_row(i));
  }
  if (r == 0)
    r = put_decoy(&b, dirfd);
  if (table_maker_finish(b.maker) != 0)
    r = -1;
  if (table_maker_finish(b.secret_maker) != 0)
    r = -1;
  if (r == 0) {
    judge_whole(&b, fd);
    judge_services(&b, fd);
    judge_strangers(&b, dirfd);
  }
  stralloc_free(&b.why);
  stralloc_free(&b.refused);
  stralloc_free(&b.key.text);
  return r != 0 || report->errors > 0 ? -1 : 0;
}

/* ---- the commands */

static int finish(const struct build_report *r, const char *what, const char *path, int is_done)
{
  int e = errno;

  if (r->text.len > 0)
    fwrite(r->text.s, 1, r->text.len, stderr);
  if (is_done)
    return EXIT_OK;
  if (r->errors > 0) {
    fprintf(stderr, "heloise: %u error%s; the tables in force stay as they are\n", r->errors,
            r->errors == 1 ? "" : "s");
    return EXIT_CONFIG;
  }
  fprintf(stderr, "heloise: cannot %s %s: %s\n", what, path, strerror(e));
  return e == EACCES || e == EPERM ? EXIT_NOPERM : e == ENOENT ? EXIT_CONFIG : EXIT_TEMPFAIL;
}

static const char *label_of(const struct instance *i)
{
  return i->dir ? "control" : i->control;
}

static int open_control(const struct instance *i)
{
  return open(i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int build_check(const struct instance *i)
{
  struct build_report report = {{0}, 0};
  int dir = open_control(i), fd = memfd_create("tables", MFD_CLOEXEC), r;
  int secret = memfd_create("logins", MFD_CLOEXEC);

  r = finish(&report, "check", i->control,
             dir >= 0 && fd >= 0 && secret >= 0 &&
               build_compile(dir, label_of(i), fd, secret, &report) == 0);
  close(secret);
  close(fd);
  close(dir);
  stralloc_free(&report.text);
  return r;
}

static int create(int dir, const char *name, mode_t mode)
{
  int fd;

  unlinkat(dir, name, 0);
  fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd >= 0 && fchmod(fd, mode) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

/* the new files under their own names, complete and flushed: 0, or -1 */
static int compile_fresh(const struct instance *i, int dir, struct build_report *report)
{
  int fd, secret, r;

  if (flock(dir, LOCK_EX) != 0)
    return -1;
  fd = create(dir, FRESH, 0644);
  secret = fd < 0 ? -1 : create(dir, FRESH_LOGINS, 0600);
  r = secret < 0 ? -1 : build_compile(dir, label_of(i), fd, secret, report);
  close(fd);
  close(secret);
  if (r == 0)
    r = renameat(dir, FRESH_LOGINS, dir, INSTANCE_LOGINS) == 0 &&
            renameat(dir, FRESH, dir, INSTANCE_TABLES) == 0 && fsync(dir) == 0
          ? 0
          : -1;
  if (r != 0) {
    int e = errno;
    unlinkat(dir, FRESH, 0);
    unlinkat(dir, FRESH_LOGINS, 0);
    errno = e;
  }
  return r;
}

int build_tables(const struct instance *i)
{
  struct build_report report = {{0}, 0};
  int dir = open_control(i), r;

  r = finish(&report, "build tables in", i->control,
             dir >= 0 && compile_fresh(i, dir, &report) == 0);
  close(dir);
  stralloc_free(&report.text);
  return r;
}
