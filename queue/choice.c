/* choice.c - the messages that a command acts on: named, or taken by a filter
 *
 * Runs as the caller of `heloise queue ...`. */
#include "queue/choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/verdict.h"
#include "common/wire.h"
#include "queue/filter.h"
#include "queue/progress.h"

#define NAMED_AT_ONCE 500
#define NAMED_IN_FIELD 60

static int no_memory(void)
{
  fputs("heloise: out of memory\n", stderr);
  return EXIT_TEMPFAIL;
}

void choice_free(struct choice *c)
{
  free(c->item);
  *c = (struct choice){0};
}

static struct chosen *add(struct choice *c)
{
  if (c->n == c->room) {
    size_t room = c->room ? c->room * 2 : 64;
    struct chosen *bigger = reallocarray(c->item, room, sizeof *bigger);
    if (!bigger)
      return NULL;
    c->item = bigger;
    c->room = room;
  }
  memset(&c->item[c->n], 0, sizeof *c->item);
  return &c->item[c->n++];
}

int choice_add(struct choice *c, const char *id)
{
  struct chosen *k = add(c);

  if (!k)
    return -1;
  snprintf(k->id, sizeof k->id, "%s", id);
  return 0;
}

static int by_id(const void *a, const void *b)
{
  const struct chosen *x = a, *y = b;

  return strcmp(x->id, y->id);
}

int choice_named(struct choice *c, const char *const *id, size_t n)
{
  size_t kept = 0;

  for (size_t i = 0; i < n; i++) {
    if (choice_add(c, id[i]) != 0)
      return no_memory();
    for (char *p = c->item[c->n - 1].id; *p; p++)
      if (*p <= ' ' || *p > '~')
        *p = '?'; /* it is none, and stands in a list separated by spaces */
  }
  if (n > 1)
    qsort(c->item, c->n, sizeof *c->item, by_id);
  for (size_t i = 0; i < c->n; i++)
    if (i == 0 || strcmp(c->item[i].id, c->item[kept - 1].id) != 0)
      c->item[kept++] = c->item[i];
  c->n = kept;
  return 0;
}

size_t choice_ids(const struct choice *c, size_t from, size_t max, stralloc *out)
{
  size_t i = 0;

  if (!stralloc_copys(out, ""))
    return 0;
  for (; i < max && from + i < c->n; i++)
    if ((i > 0 && !stralloc_cats(out, " ")) || !stralloc_cats(out, c->item[from + i].id))
      return 0;
  return stralloc_0(out) ? i : 0;
}

/* ---- asking */

struct answer {
  struct choice *c;
  stralloc line; /* bound: what is left of a line */
};

/* "ID STATE" */
static int take_line(struct choice *c, char *line)
{
  char *space = strchr(line, ' ');
  struct chosen *k = space ? add(c) : NULL;

  if (!space)
    return 0;
  if (!k)
    return -1;
  *space = 0;
  snprintf(k->id, sizeof k->id, "%s", line);
  k->is_held = strcmp(space + 1, "hold") == 0;
  k->is_active = strcmp(space + 1, "active") == 0;
  return 0;
}

static int take_text(void *arg, const char *s, size_t len, int error)
{
  struct answer *a = arg;
  size_t done = 0;
  char *nl;

  if (error) {
    progress_clear();
    return fwrite(s, 1, len, stderr) == len ? 0 : -1;
  }
  if (!stralloc_catb(&a->line, s, len))
    return -1;
  while ((nl = memchr(a->line.s + done, '\n', a->line.len - done))) {
    *nl = 0;
    if (take_line(a->c, a->line.s + done) != 0)
      return -1;
    done = (size_t)(nl + 1 - a->line.s);
  }
  memmove(a->line.s, a->line.s + done, a->line.len - done);
  a->line.len -= done;
  return 0;
}

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
  (void)arg;
  progress_show(done, total);
}

struct arguments {
  const char *argv[WIRE_FIELDS];
  stralloc text[WIRE_FIELDS];
  int n;
};

static int add_option(void *arg, const char *name, const char *value)
{
  struct arguments *a = arg;
  stralloc *t = &a->text[a->n];

  if (!stralloc_copys(t, "--") || !stralloc_cats(t, name) || !stralloc_cats(t, "=") ||
      !stralloc_cats(t, value) || !stralloc_0(t))
    return -1;
  a->argv[a->n++] = t->s;
  return 0;
}

/* ids from `from` on into the arguments; how many, 0: ENOMEM */
static size_t add_ids(struct arguments *a, const struct choice *ids, size_t from)
{
  size_t done = 0, n = 1;

  while (n > 0 && done < NAMED_AT_ONCE && from + done < ids->n) {
    n = choice_ids(ids, from + done, NAMED_IN_FIELD, &a->text[a->n]);
    a->argv[a->n] = a->text[a->n].s;
    a->n += n > 0;
    done += n;
  }
  return n > 0 ? done : 0;
}

static int ask_once(struct arguments *a, struct desk *d, struct answer *answer)
{
  const struct desk_sink to = {take_text, show_progress, answer};

  return desk_look(d, a->n, a->argv, &to);
}

static void free_arguments(struct arguments *a)
{
  for (size_t i = 0; i < WIRE_FIELDS; i++)
    stralloc_free(&a->text[i]);
}

int choice_ask(struct choice *c, struct desk *d, const struct filter *f, const struct choice *ids)
{
  struct answer answer = {.c = c};
  size_t done = 0, n;
  int code = EXIT_OK;

  if (ids && ids->n == 0)
    return EXIT_OK;
  do {
    struct arguments a = {.argv = {"select"}, .n = 1};
    if (ids) {
      n = add_ids(&a, ids, done);
      done += n;
      code = n > 0 ? ask_once(&a, d, &answer) : no_memory();
    } else {
      code = filter_options(f, add_option, &a) == 0 ? ask_once(&a, d, &answer) : no_memory();
    }
    free_arguments(&a);
  } while (code == EXIT_OK && ids && done < ids->n);
  progress_clear();
  stralloc_free(&answer.line);
  return code;
}

/* ---- confirming */

int choice_is_confirmed(const struct choice *c, const struct request *q, int *code)
{
  char answer[16];

  if (c->n <= 1 || q->yes)
    return 1;
  *code = EXIT_USAGE;
  if (!isatty(STDIN_FILENO)) {
    fprintf(stderr, "heloise: that would be %zu messages; with --yes it is done\n", c->n);
    return 0;
  }
  fprintf(stderr, "%s %zu messages? [y/N] ", request_word(q->verb), c->n);
  if (fgets(answer, sizeof answer, stdin) &&
      (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
    return 1;
  fputs("Nothing was done.\n", stderr);
  *code = EXIT_OK;
  return 0;
}
