/* status.c - run/status, and the commands that look at a running instance
 *
 * run/status is text: lines of a word and its values. Whether an instance runs is told by
 * run/control: who listens there is who started it. */
#include "conf/status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stralloc.h>

#include "common/json.h"
#include "common/units.h"
#include "common/verdict.h"
#include "conf/build.h"
#include "conf/certificates.h"
#include "conf/children.h"
#include "conf/lines.h"
#include "conf/listen.h"

#define RELOAD_PATIENCE 100 /* times 50 ms */

/* ---- writing */

/* names one file of compiled tables; two that were built one after another differ */
static void tables_stamp(char out[64], int fd)
{
  struct stat st;

  if (fd < 0 || fstat(fd, &st) != 0)
    snprintf(out, 64, "-");
  else
    snprintf(out, 64, "%llu.%lld.%09ld", (unsigned long long)st.st_ino,
             (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void write_child(void *arg, const char *name, const struct child *c)
{
  dprintf(*(int *)arg, "program %s %d %lld %u %s\n", name, (int)c->pid, (long long)c->since,
          c->restarts, c->pid == 0 ? "waiting" : c->is_ready ? "ready" : "starting");
}

static void write_certificate(void *arg, const char *name, time_t until)
{
  dprintf(*(int *)arg, "certificate %s %lld\n", name, (long long)until);
}

static void write_certificates(int fd, int tables)
{
  struct table *t = table_open(tables);

  if (t)
    certificates_each(t, write_certificate, &fd);
  table_close(t);
}

void status_write(int rundir, time_t since, int tables)
{
  int fd = openat(rundir, ".status.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  char stamp[64];

  if (fd < 0)
    return; /* a full disk: it is for people only */
  fchmod(fd, 0644);
  tables_stamp(stamp, tables);
  dprintf(fd, "pid %d\nsince %lld\ntables %s\n", (int)getpid(), (long long)since, stamp);
  for (const struct listener *l = listeners; l; l = l->next)
    dprintf(fd, "listen %s %s\n", l->addr, l->service->word);
  write_certificates(fd, tables);
  children_each(write_child, &fd);
  close(fd);
  renameat(rundir, ".status.new", rundir, "status");
}

/* ---- reading */

#define PROGRAMS_MAX 32
#define LISTEN_SHOWN 64
#define CERTIFICATES_SHOWN 256
#define SOON (14 * 86400) /* a certificate that ends then is marked */

struct shown {
  char name[24], state[16];
  int pid;
  long long since;
  unsigned int restarts;
};

struct shown_certificate {
  char name[256];
  long long until;
};

struct report {
  int pid;
  long long since;
  char tables[64];
  struct shown program[PROGRAMS_MAX];
  size_t programs;
  char listen[LISTEN_SHOWN][80];
  size_t listeners;
  struct shown_certificate certificate[CERTIFICATES_SHOWN];
  size_t certificates;
};

static void read_line(struct report *r, const char *line)
{
  struct shown s;
  struct shown_certificate c;

  if (sscanf(line, "certificate %255s %lld", c.name, &c.until) == 2) {
    if (r->certificates < CERTIFICATES_SHOWN)
      r->certificate[r->certificates++] = c;
    return;
  }
  if (sscanf(line, "program %23s %d %lld %u %15s", s.name, &s.pid, &s.since, &s.restarts,
             s.state) == 5 && r->programs < PROGRAMS_MAX)
    r->program[r->programs++] = s;
  else if (strncmp(line, "listen ", 7) == 0 && r->listeners < LISTEN_SHOWN)
    snprintf(r->listen[r->listeners++], 80, "%.*s", (int)strcspn(line + 7, "\n"), line + 7);
  else if (sscanf(line, "since %lld", &r->since) != 1)
    sscanf(line, "tables %63s", r->tables);
}

static int read_report(const struct instance *i, struct report *r)
{
  int dir = open(i->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  stralloc text = {0};
  struct lines ls;
  struct line l;
  const char *why;
  int bad = dir < 0 ? -1 : lines_read(dir, "status", &text);

  if (dir >= 0)
    close(dir);
  if (bad == 0) {
    lines_start(&ls, &text);
    while (lines_next(&ls, &l, &why) > 0) {
      char line[512];
      snprintf(line, sizeof line, "%.*s", (int)l.len, l.start);
      read_line(r, line);
    }
  }
  stralloc_free(&text);
  return bad;
}

/* the process that runs the instance, 0 when none does; -1 with errno when that cannot be told */
static pid_t runner(const struct instance *i)
{
  struct ucred peer;
  socklen_t len = sizeof peer;
  int fd = listen_connect(i->run), r;

  if (fd < 0)
    return errno == ENOENT || errno == ECONNREFUSED ? 0 : -1;
  r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
  close(fd);
  return r == 0 ? peer.pid : -1;
}

/* ---- `heloise status` */

static void put_time(long long t)
{
  stralloc s = {0};

  if (units_format_time(&s, (uint64_t)t) == 0)
    fwrite(s.s, 1, s.len, stdout);
  stralloc_free(&s);
}

static void show_certificates(const struct report *r)
{
  long long now = (long long)time(NULL);

  for (size_t i = 0; i < r->certificates; i++) {
    const struct shown_certificate *c = &r->certificate[i];
    printf("certificate for %s until ", c->name);
    put_time(c->until);
    puts(c->until <= now ? "  expired" : c->until <= now + SOON ? "  expires soon" : "");
  }
}

static void show_text(const struct report *r)
{
  printf("running as process %d since ", r->pid);
  put_time(r->since);
  puts("");
  for (size_t i = 0; i < r->listeners; i++)
    printf("listens on %s\n", r->listen[i]);
  show_certificates(r);
  printf("%-16s %8s  %-8s %8s  %s\n", "program", "process", "state", "restarts", "since");
  for (size_t i = 0; i < r->programs; i++) {
    const struct shown *p = &r->program[i];
    printf("%-16s %8d  %-8s %8u  ", p->name, p->pid, p->state, p->restarts);
    put_time(p->since);
    puts("");
  }
}

static json_t *json_program(const struct shown *p)
{
  return json_pack("{s:s, s:i, s:s, s:i, s:o}", "name", p->name, "pid", p->pid, "state", p->state,
                   "restarts", (int)p->restarts, "since", json_time((unsigned long long)p->since));
}

static json_t *json_listener(const char *shown)
{
  size_t n = strcspn(shown, " ");

  return json_pack("{s:s%, s:s}", "address", shown, n, "service", shown[n] ? shown + n + 1 : "");
}

static json_t *json_certificate(const struct shown_certificate *c)
{
  return json_pack("{s:s, s:o}", "name", c->name, "until", json_time((unsigned long long)c->until));
}

/* 0, or -1 (ENOMEM) */
static int show_json(const struct report *r)
{
  json_t *listen = json_array(), *programs = json_array(), *certificates = json_array();
  stralloc line = {0};
  int bad = 0;

  for (size_t i = 0; i < r->listeners; i++)
    bad |= json_array_append_new(listen, json_listener(r->listen[i]));
  for (size_t i = 0; i < r->programs; i++)
    bad |= json_array_append_new(programs, json_program(&r->program[i]));
  for (size_t i = 0; i < r->certificates; i++)
    bad |= json_array_append_new(certificates, json_certificate(&r->certificate[i]));
  bad |= json_line(&line, json_pack("{s:b, s:i, s:o, s:s, s:o, s:o, s:o}", "running", 1, "pid", r->pid,
                                    "since", json_time((unsigned long long)r->since), "tables",
                                    r->tables, "listen", listen, "certificates", certificates,
                                    "programs", programs));
  fwrite(line.s, 1, line.len, stdout);
  stralloc_free(&line);
  return bad;
}

int status_command(const struct instance *i, int argc, char **argv)
{
  struct report r = {0};
  int json = argc == 2 && strcmp(argv[1], "--json") == 0;

  if (argc > 1 && !json) {
    fprintf(stderr, "usage: heloise status [--json]\n");
    return EXIT_USAGE;
  }
  r.pid = runner(i);
  if (r.pid < 0) {
    fprintf(stderr, "heloise: %s/control: %s\n", i->run, strerror(errno));
    return errno == EACCES ? EXIT_NOPERM : EXIT_TEMPFAIL;
  }
  if (r.pid == 0) {
    puts(json ? "{\"running\":false}" : "not running");
    return EXIT_UNAVAILABLE;
  }
  read_report(i, &r);
  if (json)
    return show_json(&r) == 0 ? EXIT_OK : EXIT_TEMPFAIL;
  show_text(&r);
  return EXIT_OK;
}

/* ---- `heloise reload` */

static int is_in_force(const struct instance *i, const char *stamp)
{
  struct report r = {0};

  return read_report(i, &r) == 0 && strcmp(r.tables, stamp) == 0;
}

int status_reload(const struct instance *i, int argc, char **argv)
{
  char stamp[64];
  pid_t pid;
  int fd, r;

  if (argc > 1) {
    fprintf(stderr, "usage: heloise %s\n", argv[0]);
    return EXIT_USAGE;
  }
  r = build_tables(i);
  if (r != EXIT_OK)
    return r;
  pid = runner(i);
  if (pid == 0) {
    puts("not running; the tables are built");
    return EXIT_OK;
  }
  if (pid < 0 || kill(pid, SIGHUP) != 0) {
    fprintf(stderr, "heloise: the tables are built, but not in force: %s\n", strerror(errno));
    return EXIT_NOPERM;
  }
  fd = instance_open_tables(i);
  tables_stamp(stamp, fd);
  close(fd);
  for (int n = 0; n < RELOAD_PATIENCE; n++) {
    if (is_in_force(i, stamp))
      return EXIT_OK;
    usleep(50000);
  }
  fprintf(stderr, "heloise: the tables are built; the running instance has not taken them yet\n");
  return EXIT_TEMPFAIL;
}
