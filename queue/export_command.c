/* export_command.c - `heloise queue export` and `import`
 *
 * Runs as the caller. An archive that is written is read at the same time, as import will: what
 * counts as exported is what could be read. With --remove messages are on hold while they are
 * copied, and leave the queue when the file is on disk; whatever goes wrong before that, they are
 * released again. */
#include "queue/export_command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/json.h"
#include "common/verdict.h"
#include "common/wire.h"
#include "queue/act_command.h"
#include "queue/archive.h"
#include "queue/choice.h"
#include "queue/progress.h"
#include "queue/sight.h"

#define FETCH_AT_ONCE 500
#define FETCH_IN_FIELD 50
#define WAIT_S 60 /* for attempts to end, with --remove */

struct exporting {
  struct desk *desk;
  const struct request *q;
  const char *path;  /* "-": standard output */
  char *part;        /* under which it is written */
  int fd;
  struct choice c;   /* what is wanted; id "" : not any more */
  unsigned char *is_ours; /* per item of c: we have put it on hold */
  struct choice done;     /* what stands in the file */
  struct archive_reader *reader;
  char current[STORE_ID_LEN + 1];
  const char *why;   /* what went wrong, or NULL */
};

static volatile sig_atomic_t is_interrupted;

static void on_signal(int sig)
{
  (void)sig;
  is_interrupted = 1;
}

static void catch_signals(void)
{
  const struct sigaction a = {.sa_handler = on_signal};
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    sigaction(signals[i], &a, NULL);
  signal(SIGPIPE, SIG_IGN);
}

/* ---- the file */

static int is_stdout(const struct exporting *x)
{
  return strcmp(x->path, "-") == 0;
}

static int open_file(struct exporting *x)
{
  x->fd = STDOUT_FILENO;
  if (is_stdout(x))
    return EXIT_OK;
  if (access(x->path, F_OK) == 0 || errno != ENOENT) {
    fprintf(stderr, "heloise: %s: %s; nothing is overwritten\n", x->path,
            access(x->path, F_OK) == 0 ? strerror(EEXIST) : strerror(errno));
    return EXIT_CANTCREAT;
  }
  if (asprintf(&x->part, "%s.part", x->path) < 0) {
    x->part = NULL;
    return EXIT_TEMPFAIL;
  }
  x->fd = open(x->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (x->fd >= 0)
    return EXIT_OK;
  fprintf(stderr, "heloise: %s: %s\n", x->part, strerror(errno));
  free(x->part);
  x->part = NULL;
  return EXIT_CANTCREAT;
}

static int write_all(struct exporting *x, const char *s, size_t len)
{
  while (len > 0) {
    ssize_t n = write(x->fd, s, len);
    if (n < 0 && errno == EINTR && !is_interrupted)
      continue;
    if (n <= 0) {
      x->why = strerror(errno);
      return -1;
    }
    s += n;
    len -= (size_t)n;
  }
  return 0;
}

/* writes, and reads what is written */
static int put(struct exporting *x, const char *s, size_t len)
{
  const char *why;

  if (write_all(x, s, len) != 0)
    return -1;
  if (archive_feed(x->reader, s, len, &why) == 0)
    return 0;
  x->why = why ? why : "out of memory";
  return -1;
}

/* from here on the file is safe under its name */
static int finish_file(struct exporting *x)
{
  char *copy;
  int dir, r = -1;

  if (is_stdout(x))
    return 0;
  if (fsync(x->fd) == 0 && renameat2(AT_FDCWD, x->part, AT_FDCWD, x->path, RENAME_NOREPLACE) == 0) {
    free(x->part);
    x->part = NULL;
    copy = strdup(x->path);
    dir = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    r = dir < 0 ? -1 : fsync(dir);
    if (dir >= 0)
      close(dir);
    free(copy);
  }
  if (r != 0)
    x->why = strerror(errno);
  return r;
}

/* ---- the archive, read while it is written */

static int on_begin(void *arg, const struct archive_record *r)
{
  struct exporting *x = arg;

  memcpy(x->current, r->kind == 'm' ? r->name.id : "", r->kind == 'm' ? sizeof x->current : 1);
  return 0;
}

static int on_data(void *arg, const char *s, size_t len)
{
  (void)arg, (void)s, (void)len;
  return 0;
}

static int on_end(void *arg, int is_whole)
{
  struct exporting *x = arg;
  const char *id = x->current;

  if (!*id)
    return 0;
  return is_whole ? choice_add(&x->done, id) : -1;
}

/* ---- messages */

static int take_records(void *arg, const char *s, size_t len, int error)
{
  struct exporting *x = arg;

  if (!error)
    return put(x, s, len);
  progress_clear();
  return fwrite(s, 1, len, stderr) == len ? 0 : -1;
}

/* "ID ID:cur ..." of items from `from` on; how many items */
static size_t name_some(const struct exporting *x, size_t from, stralloc *out)
{
  size_t i = from;

  if (!stralloc_copys(out, ""))
    return 0;
  for (; i < x->c.n && i < from + FETCH_IN_FIELD; i++)
    if (*x->c.item[i].id &&
        (!stralloc_cats(out, x->c.item[i].id) || !stralloc_cats(out, x->is_ours[i] ? ":cur " : " ")))
      return 0;
  return stralloc_0(out) ? i - from : 0;
}

/* a piece of the messages, from item `from` on. How many; 0 after something went wrong */
static size_t fetch_some(struct exporting *x, size_t from, int *code)
{
  const struct desk_sink to = {take_records, NULL, x};
  const char *argv[WIRE_FIELDS] = {"fetch"};
  stralloc text[WIRE_FIELDS] = {{0}};
  size_t done = 0, n = 1;
  int argc = 1, r;

  while (n > 0 && done < FETCH_AT_ONCE && from + done < x->c.n) {
    n = name_some(x, from + done, &text[argc]);
    argv[argc] = text[argc].s;
    argc += n > 0;
    done += n;
  }
  r = n > 0 ? desk_look(x->desk, argc, argv, &to) : EXIT_TEMPFAIL;
  for (int i = 0; i < WIRE_FIELDS; i++)
    stralloc_free(&text[i]);
  if (r == EXIT_DATA)
    *code = r; /* some are damaged: they stay, and were named */
  if (r != EXIT_OK && r != EXIT_DATA)
    x->why = x->why ? x->why : "a message could not be read to its end";
  return x->why ? 0 : done;
}

static int write_archive(struct exporting *x)
{
  stralloc line = {0};
  char host[256] = "localhost";
  size_t done = 0, n = 1;
  int code = EXIT_OK;

  gethostname(host, sizeof host - 1);
  if (archive_head(&line, host, (uint64_t)time(NULL)) != 0 || put(x, line.s, line.len) != 0)
    n = 0;
  while (n > 0 && done < x->c.n) {
    n = fetch_some(x, done, &code);
    done += n;
    progress_show(done, x->c.n);
    if (is_interrupted) {
      x->why = "interrupted";
      n = 0;
    }
  }
  progress_clear();
  if (n > 0 && (archive_tail(x->reader, &line) != 0 || put(x, line.s, line.len) != 0))
    n = 0;
  stralloc_free(&line);
  if (n > 0 && finish_file(x) == 0)
    return code;
  fprintf(stderr, "heloise: %s: %s\n", is_stdout(x) ? "standard output" : x->path,
          x->why ? x->why : "out of memory");
  return EXIT_CANTCREAT;
}

/* ---- --remove */

static void note_hold(void *arg, size_t i, enum acted r)
{
  struct exporting *x = arg;

  x->is_ours[i] = r == ACTED_DONE || r == ACTED_LATER;
}

/* how many of those that go on hold are not yet there. What is gone is not wanted any more */
static size_t still_active(struct exporting *x)
{
  struct choice now = {0}, one;
  size_t n = 0, k = 0;

  if (choice_ask(&now, x->desk, &x->q->filter, &x->c) != EXIT_OK) {
    choice_free(&now);
    return x->c.n;
  }
  for (size_t i = 0; i < x->c.n; i++) {
    one = (struct choice){&x->c.item[i], 1, 1};
    x->c.item[i].is_active = 0;
    if (k < now.n && strcmp(one.item->id, now.item[k].id) == 0)
      x->c.item[i].is_active = !now.item[k++].is_held;
    n += x->c.item[i].is_active != 0;
  }
  choice_free(&now);
  return n;
}

/* puts all on hold, and waits for attempts to end; those that go on too long are left out */
static int hold_all(struct exporting *x)
{
  const struct timespec pause = {0, 250000000};
  time_t until = time(NULL) + WAIT_S;
  struct choice late = {0};
  int code = act_on_all(x->desk, ACT_HOLD, "", &x->c, note_hold, x);

  while (code == EXIT_OK && still_active(x) > 0 && time(NULL) < until && !is_interrupted)
    nanosleep(&pause, NULL);
  for (size_t i = 0; code == EXIT_OK && i < x->c.n; i++) {
    if (!x->c.item[i].is_active)
      continue;
    code = choice_add(&late, x->c.item[i].id) == 0 ? EXIT_OK : EXIT_TEMPFAIL;
    x->c.item[i].id[0] = 0;
    x->is_ours[i] = 0;
  }
  if (late.n > 0) {
    act_on_all(x->desk, ACT_RELEASE, "", &late, NULL, NULL);
    fprintf(stderr, "heloise: %zu message%s still being tried and left out\n", late.n,
            late.n == 1 ? " is" : "s are");
  }
  choice_free(&late);
  return code;
}

/* releases what we hold, but for what has left */
static void release_all(struct exporting *x)
{
  struct choice ours = {0};

  for (size_t i = 0; i < x->c.n; i++)
    if (x->is_ours[i] && *x->c.item[i].id)
      choice_add(&ours, x->c.item[i].id);
  act_on_all(x->desk, ACT_RELEASE, "", &ours, NULL, NULL);
  choice_free(&ours);
}

/* ---- all of it */

static int choose(struct exporting *x)
{
  const struct request *q = x->q;
  struct choice named = {0};
  int code = EXIT_OK;

  if (q->args > 1 && (q->args > 2 || strcmp(q->arg[1], "all") != 0))
    code = choice_named(&named, q->arg + 1, q->args - 1);
  if (code == EXIT_OK)
    code = choice_ask(&x->c, x->desk, &q->filter, named.n > 0 ? &named : NULL);
  if (code == EXIT_OK && named.n > x->c.n) {
    fprintf(stderr, "heloise: %zu of them %s not in the queue\n", named.n - x->c.n,
            named.n - x->c.n == 1 ? "is" : "are");
    code = EXIT_DATA;
  }
  choice_free(&named);
  x->is_ours = calloc(x->c.n + 1, 1);
  return x->is_ours ? code : EXIT_TEMPFAIL;
}

static void say_result(const struct exporting *x, int is_removed)
{
  FILE *out = is_stdout(x) ? stderr : stdout;
  stralloc line = {0};
  size_t n = x->done.n;

  if (!x->q->json)
    fprintf(out, "%zu message%s exported%s.\n", n, n == 1 ? " was" : "s were",
            is_removed ? " and removed" : "");
  else if (json_line(&line, json_pack("{s:I,s:b}", "exported", (json_int_t)n, "removed", is_removed)) == 0)
    fwrite(line.s, 1, line.len, out);
  stralloc_free(&line);
}

static int export_all(struct exporting *x)
{
  int code = open_file(x);

  if (code != EXIT_OK)
    return code;
  if (x->q->removes)
    code = hold_all(x);
  if (code == EXIT_OK)
    code = write_archive(x);
  if ((code == EXIT_OK || code == EXIT_DATA) && x->q->removes &&
      act_on_all(x->desk, ACT_REMOVE, "", &x->done, NULL, NULL) != EXIT_OK) {
    fprintf(stderr, "heloise: %s is complete, but not all it holds was removed here: that is on "
                    "hold, and would be sent twice if it was released\n", x->path);
    return EXIT_TEMPFAIL;
  }
  if (code == EXIT_OK || code == EXIT_DATA)
    say_result(x, x->q->removes);
  if (x->q->removes)
    release_all(x); /* what was removed is unknown by now */
  return code;
}

int export_command(struct desk *d, const struct request *q)
{
  static const struct archive_ops ops = {on_begin, on_data, on_end};
  struct exporting x = {.desk = d, .q = q, .path = q->arg[0], .fd = -1};
  int code, is_missing;

  if (q->removes && is_stdout(&x)) {
    fputs("heloise: --remove needs a file: what comes of standard output cannot be known\n", stderr);
    return EXIT_USAGE;
  }
  catch_signals();
  x.reader = archive_open(&ops, &x);
  code = x.reader ? choose(&x) : EXIT_TEMPFAIL;
  is_missing = code == EXIT_DATA;
  if (code == EXIT_OK || is_missing) {
    code = EXIT_OK;
    if (!q->removes || choice_is_confirmed(&x.c, q, &code))
      code = export_all(&x);
    if (code == EXIT_OK && is_missing)
      code = EXIT_DATA;
  }
  if (x.part)
    unlink(x.part);
  if (x.fd > STDERR_FILENO)
    close(x.fd);
  free(x.part);
  free(x.is_ours);
  choice_free(&x.c);
  choice_free(&x.done);
  archive_close(x.reader);
  return code;
}

/* ---- import */

struct reading {
  int fd;
  uint64_t done, total;
};

static long read_some(void *arg, char *buf, size_t len)
{
  struct reading *r = arg;
  ssize_t n;

  do
    n = read(r->fd, buf, len);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    fprintf(stderr, "heloise: %s\n", strerror(errno)); /* the archive is then too short */
  if (n > 0)
    r->done += (uint64_t)n;
  progress_show(r->done, r->total);
  return n;
}

static int print(void *arg, const char *s, size_t len, int error)
{
  (void)arg;
  progress_clear();
  return fwrite(s, 1, len, error ? stderr : stdout) == len ? 0 : -1;
}

int import_command(struct desk *d, const struct request *q)
{
  const struct desk_sink to = {print, NULL, NULL};
  struct reading r = {STDIN_FILENO, 0, 0};
  struct stat st;
  int code;

  if (strcmp(q->arg[0], "-") != 0)
    r.fd = open(q->arg[0], O_RDONLY | O_CLOEXEC);
  if (r.fd < 0) {
    fprintf(stderr, "heloise: %s: %s\n", q->arg[0], strerror(errno));
    return EXIT_DATA;
  }
  signal(SIGPIPE, SIG_IGN);
  if (fstat(r.fd, &st) == 0 && S_ISREG(st.st_mode))
    r.total = (uint64_t)st.st_size;
  code = desk_import(d, q->json, &to, read_some, &r);
  progress_clear();
  if (r.fd != STDIN_FILENO)
    close(r.fd);
  return code;
}
