/* verify_command.c - `heloise queue verify`: shows what was found, and puts it right
 *
 * Runs as the caller. Findings come from verify.c; what is to be moved is moved by the manager,
 * which knows what it works on, or under the instance's lock. */
#include "queue/verify_command.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/verdict.h"
#include "queue/progress.h"
#include "queue/sight.h"

struct showing {
  struct desk *desk;
  const struct request *q;
  stralloc line;  /* bound: a finding */
  size_t faults, repaired;
  int has_counts, code;
};

/* what is done about each kind of finding */
static const struct remedy {
  const char *kind;
  int is_fault;
  enum act act; /* ACTS: none */
  const char *done;
} remedies[] = {{"broken", 1, ACT_ASIDE, "moved to corrupt"},
                {"rights", 1, ACT_MEND, "put right"},
                {"unknown", 1, ACT_ADOPT, "taken up"},
                {"journal", 1, ACTS, ""},
                {"marks", 0, ACTS, ""},
                {"left", 0, ACTS, ""},
                {"corrupt", 0, ACTS, ""}};

static const struct remedy *remedy_for(const char *kind)
{
  size_t i = 0;

  while (i < sizeof remedies / sizeof *remedies - 1 && strcmp(remedies[i].kind, kind) != 0)
    i++;
  return &remedies[i];
}

/* what --repair did, in words */
static const char *repair(struct showing *s, const struct remedy *remedy, const char *path,
                          const char *why)
{
  static stralloc letters;

  s->code = desk_act(s->desk, remedy->act, path, why, &letters);
  if (s->code != EXIT_OK)
    return "not repaired";
  switch (letters.s[0]) {
  case ACTED_DONE:
    s->repaired++;
    return remedy->done;
  case ACTED_NOTHING:
    s->repaired++;
    return "gone meanwhile";
  case ACTED_LATER:
    return "being worked on this moment; verify again later";
  default:
    return "cannot be repaired; see the log";
  }
}

static void print_json(json_t *o)
{
  stralloc line = {0};

  if (json_line(&line, json_incref(o)) == 0)
    fwrite(line.s, 1, line.len, stdout);
  stralloc_free(&line);
}

static void show_finding(struct showing *s, json_t *o, const char *kind)
{
  const struct remedy *remedy = remedy_for(kind);
  const char *path = json_string_value(json_object_get(o, "path"));
  const char *why = json_string_value(json_object_get(o, "why")), *what = NULL;

  if (!path || !why)
    return;
  s->faults += remedy->is_fault != 0;
  if (s->q->repair && remedy->act != ACTS && s->code == EXIT_OK)
    what = repair(s, remedy, path, why);
  if (what)
    json_object_set_new(o, "repair", json_string(what));
  progress_clear();
  if (s->q->json)
    print_json(o);
  else
    printf("%s: %s%s%s\n", sight_clean(path), why, what ? ": " : "", what ? what : "");
}

static long long count_of(json_t *o, const char *name)
{
  return (long long)json_integer_value(json_object_get(o, name));
}

static void show_counts(struct showing *s, json_t *o)
{
  long long n = count_of(o, "messages"), corrupt = count_of(o, "corrupt");

  s->has_counts = 1;
  progress_clear();
  if (s->q->json) {
    json_object_set_new(o, "repaired", json_integer((json_int_t)s->repaired));
    print_json(o);
    return;
  }
  printf("%lld message%s with %lld recipients and %lld bytes were read: ", n, n == 1 ? "" : "s",
         count_of(o, "recipients"), count_of(o, "bytes"));
  if (s->faults == 0)
    puts("all is well.");
  else
    printf("%zu fault%s, %zu repaired.\n", s->faults, s->faults == 1 ? "" : "s", s->repaired);
  if (corrupt > 0)
    printf("%lld file%s in queue/corrupt.\n", corrupt, corrupt == 1 ? " is" : "s are");
}

static void show_line(struct showing *s, const char *text)
{
  json_t *o = json_loads(text, 0, NULL);
  const char *kind = json_string_value(json_object_get(o, "kind"));

  if (kind)
    show_finding(s, o, kind);
  else if (json_is_object(o))
    show_counts(s, o);
  json_decref(o);
}

static int take(void *arg, const char *text, size_t len, int error)
{
  struct showing *s = arg;
  size_t done = 0;
  char *nl;

  if (error) {
    progress_clear();
    return fwrite(text, 1, len, stderr) == len ? 0 : -1;
  }
  if (!stralloc_catb(&s->line, text, len))
    return -1;
  while ((nl = memchr(s->line.s + done, '\n', s->line.len - done))) {
    *nl = 0;
    show_line(s, s->line.s + done);
    done = (size_t)(nl + 1 - s->line.s);
  }
  memmove(s->line.s, s->line.s + done, s->line.len - done);
  s->line.len -= done;
  return ferror(stdout) ? -1 : 0;
}

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
  (void)arg;
  progress_show(done, total);
}

int verify_command(struct desk *d, const struct request *q)
{
  static const char *const argv[] = {"verify"};
  struct showing s = {.desk = d, .q = q, .code = EXIT_OK};
  const struct desk_sink to = {take, show_progress, &s};
  int code = desk_look(d, 1, argv, &to);

  progress_clear();
  stralloc_free(&s.line);
  if (code != EXIT_OK)
    return code;
  if (s.code != EXIT_OK)
    return s.code;
  return s.faults > s.repaired ? EXIT_DATA : EXIT_OK;
}
