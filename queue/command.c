/* command.c - `heloise queue ...`
 *
 * Runs as the caller. desk.h knows who does the work. */
#include "queue/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/verdict.h"
#include "common/wire.h"
#include "queue/act_command.h"
#include "queue/desk.h"
#include "queue/export_command.h"
#include "queue/harmless.h"
#include "queue/inspect.h"
#include "queue/progress.h"
#include "queue/request.h"
#include "queue/verify_command.h"

/* ---- help */

static int help(FILE *out, int code)
{
  fputs("usage: heloise [-C DIR] queue VERB ...\n\n", out);
  for (int v = 0; v < REQUEST_VERBS; v++)
    if (request_summary((enum request_verb)v))
      fprintf(out, "  %-8s %s\n", request_word((enum request_verb)v),
              request_summary((enum request_verb)v));
  fputs("\nheloise queue VERB --help says more; heloise-queue(8) says all.\n", out);
  return code;
}

static int help_option(void *arg, const char *option, const char *text)
{
  return fprintf(arg, "  %-17s  %s\n", option, text) < 0;
}

static int help_verb(enum request_verb v)
{
  printf("usage: heloise [-C DIR] queue %s\n\n%s\n\n", request_usage(v), request_summary(v));
  request_help(v, help_option, stdout);
  return EXIT_OK;
}

static int misused(const struct request *q, const char *why)
{
  if (q->verb == REQUEST_VERBS || !request_summary(q->verb))
    return help(stderr, EXIT_USAGE);
  fprintf(stderr, "usage: heloise queue %s\nheloise: %s\n", request_usage(q->verb), why);
  return EXIT_USAGE;
}

/* ---- what only looks */

struct printing {
  struct harmless harmless;
  int is_hostile; /* a stranger's bytes go to a terminal */
};

static int print(void *arg, const char *s, size_t len, int error)
{
  static stralloc text;
  struct printing *p = arg;

  progress_clear();
  if (!error && p->is_hostile) {
    if (!stralloc_copys(&text, "") || harmless_feed(&p->harmless, &text, s, len) != 0)
      return -1;
    s = text.s;
    len = text.len;
  }
  if (fwrite(s, 1, len, error ? stderr : stdout) != len)
    return -1;
  return fflush(error ? stderr : stdout); /* a listing may take its time */
}

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
  (void)arg;
  if (!isatty(STDOUT_FILENO)) /* else the lines show it */
    progress_show(done, total);
}

static void show_counting(void *arg, uint64_t done, uint64_t total)
{
  (void)arg;
  progress_show(done, total);
}

/* how wide the terminal is on which standard output is shown; 0: it is none */
static unsigned int columns(void)
{
  struct winsize w;

  if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0)
    return 0;
  return w.ws_col < 500 ? w.ws_col : 500;
}

static int look(struct desk *d, const struct request *q, int argc, const char *const *argv)
{
  struct printing p = {.is_hostile = (q->parts & (PART_HEADERS | PART_BODY)) && isatty(STDOUT_FILENO)};
  const struct desk_sink to = {print, q->verb == REQUEST_STATS ? show_counting : show_progress, &p};
  const char *args[WIRE_FIELDS];
  char width[32];
  int code;

  if (argc >= WIRE_FIELDS)
    return misused(q, "too many arguments");
  memcpy(args, argv, (size_t)argc * sizeof *args);
  snprintf(width, sizeof width, "--width=%u", columns());
  if (q->verb == REQUEST_STATS && columns() > 0)
    args[argc++] = width;
  code = desk_look(d, argc, args, &to);
  if (p.is_hostile) {
    stralloc rest = {0};
    if (harmless_end(&p.harmless, &rest) == 0)
      fwrite(rest.s, 1, rest.len, stdout);
    stralloc_free(&rest);
  }
  progress_clear();
  return code;
}

/* ---- all of it */

static int run(const struct instance *i, const struct request *q, int argc, const char *const *argv)
{
  struct desk d;
  int code = desk_open(&d, i);

  if (code == EXIT_OK) {
    switch (q->verb) {
    case REQUEST_VERIFY:
      code = verify_command(&d, q);
      break;
    case REQUEST_EXPORT:
      code = export_command(&d, q);
      break;
    case REQUEST_IMPORT:
      code = import_command(&d, q);
      break;
    default:
      code = inspect_does(q->verb) ? look(&d, q, argc, argv) : act_command(&d, q);
      break;
    }
  }
  desk_close(&d);
  return fflush(stdout) == 0 ? code : EXIT_IOERR;
}

int queue_command(const struct instance *i, int argc, char **argv)
{
  const char *const *args = (const char *const *)argv + 1;
  struct request q;
  const char *why;
  int code;

  if (argc > 1 && (strcmp(args[0], "--help") == 0 || strcmp(args[0], "-h") == 0))
    return help(stdout, EXIT_OK);
  if (request_parse(&q, argc - 1, args, &why) != 0 || !request_summary(q.verb))
    code = misused(&q, why);
  else if (q.wants_help)
    code = help_verb(q.verb);
  else
    code = run(i, &q, argc - 1, args);
  request_free(&q);
  return code;
}
