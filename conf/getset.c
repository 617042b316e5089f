/* getset.c - `heloise get` and `set`: settings in control/settings
 *
 * Runs in `heloise`, as the caller. Works on the text, so that comments stay; `heloise
 * build` puts it in force. */
#include "conf/getset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/settings.h"
#include "common/verdict.h"
#include "conf/lines.h"

static int is_key(const struct line *l, const char *name)
{
  return strlen(name) == l->keylen && memcmp(name, l->key, l->keylen) == 0;
}

/* "#name value": how the default is shown */
static int is_shown(const struct line *l, const char *name)
{
  size_t n = strlen(name);

  return l->keylen == 0 && l->len > n && l->start[0] == '#' &&
         memcmp(l->start + 1, name, n) == 0 &&
         (l->len == n + 1 || l->start[n + 1] == ' ' || l->start[n + 1] == '\t');
}

/* the last line for which `is` holds; 0 when there is none */
static unsigned int find(const stralloc *text, const char *name,
                         int (*is)(const struct line *l, const char *name), struct line *found)
{
  struct lines ls;
  struct line l;
  const char *why;
  unsigned int number = 0;
  int got;

  lines_start(&ls, text);
  while ((got = lines_next(&ls, &l, &why)) != 0)
    if (got > 0 && is(&l, name)) {
      *found = l;
      number = l.number;
    }
  return number;
}

static int cat_setting(stralloc *out, const char *name, const char *value)
{
  return stralloc_cats(out, name) && (*value == 0 || stralloc_cats(out, " ")) &&
             stralloc_cats(out, value) && stralloc_cats(out, "\n")
           ? 0
           : -1;
}

int getset_edit(const stralloc *text, const char *name, const char *value, stralloc *out)
{
  struct line at;
  size_t head = text->len, tail = text->len;
  const char *end;

  if (find(text, name, is_key, &at))
    head = (size_t)(at.start - text->s);
  else if (!find(text, name, is_shown, &at))
    goto put;
  end = memchr(at.start, '\n', text->len - (size_t)(at.start - text->s));
  tail = end ? (size_t)(end + 1 - text->s) : text->len;
  if (at.keylen == 0)
    head = tail;
put:
  if (!stralloc_copyb(out, text->s, head) ||
      (head > 0 && text->s[head - 1] != '\n' && !stralloc_cats(out, "\n")))
    return -1;
  if (cat_setting(out, name, value) != 0)
    return -1;
  return stralloc_catb(out, text->s + tail, text->len - tail) ? 0 : -1;
}

static const char *given(const char *const *set, const char *name)
{
  for (; *set; set += 2)
    if (strcmp(set[0], name) == 0)
      return set[1];
  return NULL;
}

int getset_template(const char *const *set, stralloc *out)
{
  if (!stralloc_copys(out, "# settings: a name and its value on each line; heloise-settings(5).\n"
                           "# A line that begins with # shows the default.\n"))
    return -1;
  for (size_t i = 0; i < settings_count(); i++) {
    const struct setting *s = settings_row(i);
    const char *value = given(set, s->name);
    if (!stralloc_cats(out, "\n# ") || !stralloc_cats(out, s->help) || !stralloc_cats(out, "\n") ||
        (s->value && (!stralloc_cats(out, "#") || cat_setting(out, s->name, s->value) != 0)) ||
        (value && cat_setting(out, s->name, value) != 0))
      return -1;
  }
  return 0;
}

/* ---- the commands */

static int fail(const struct instance *i, const char *what, int e)
{
  fprintf(stderr, "heloise: cannot %s %s/settings: %s\n", what, i->control, strerror(e));
  return e == EACCES || e == EPERM || e == EROFS ? EXIT_NOPERM
         : e == ENOENT                           ? EXIT_CONFIG
                                                 : EXIT_TEMPFAIL;
}

static const struct setting *known(const char *name)
{
  const struct setting *s = settings_find(name, strlen(name));

  if (!s)
    fprintf(stderr, "heloise: there is no setting %s; `heloise get` lists all\n", name);
  return s;
}

static void print_one(const stralloc *text, const struct setting *s, int with_name)
{
  struct line l = {0};
  int is_set = find(text, s->name, is_key, &l) > 0;

  if (with_name)
    printf("%-22s ", s->name);
  if (is_set)
    fwrite(l.value, 1, l.valuelen, stdout);
  else
    fputs(s->value ? s->value : "", stdout);
  puts(with_name && !is_set ? s->value ? "  (default)" : "  (must be set)" : "");
}

int getset_get(const struct instance *i, int argc, char **argv)
{
  stralloc text = {0};
  const struct setting *s = NULL;
  int dir, r;

  if (argc > 2) {
    fprintf(stderr, "usage: heloise get [NAME]\n");
    return EXIT_USAGE;
  }
  if (argc == 2 && !(s = known(argv[1])))
    return EXIT_USAGE;
  dir = open(i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  r = dir < 0 ? -1 : lines_read(dir, "settings", &text);
  if (r != 0)
    return fail(i, "read", errno);
  close(dir);
  if (s)
    print_one(&text, s, 0);
  else
    for (size_t n = 0; n < settings_count(); n++)
      print_one(&text, settings_row(n), 1);
  stralloc_free(&text);
  return ferror(stdout) ? EXIT_IOERR : EXIT_OK;
}

/* reads, edits and replaces the file, under a lock: 0, or -1 with errno */
static int change(const struct instance *i, const char *name, const char *value)
{
  stralloc text = {0}, edited = {0};
  int dir = open(i->control, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = -1;

  if (dir >= 0 && flock(dir, LOCK_EX) == 0 && lines_read(dir, "settings", &text) == 0 &&
      getset_edit(&text, name, value, &edited) == 0)
    r = lines_replace(dir, "settings", &edited);
  if (dir >= 0) {
    int e = errno;
    close(dir);
    errno = e;
  }
  stralloc_free(&text);
  stralloc_free(&edited);
  return r;
}

/* the value as one line, from the words of the command line */
static int join(stralloc *value, int n, char **words)
{
  value->len = 0;
  for (int i = 0; i < n; i++)
    if ((i > 0 && !stralloc_cats(value, " ")) || !stralloc_cats(value, words[i]))
      return -1;
  while (value->len > 0 && (value->s[value->len - 1] == ' ' || value->s[value->len - 1] == '\t'))
    value->len--;
  return stralloc_0(value) ? 0 : -1;
}

int getset_set(const struct instance *i, int argc, char **argv)
{
  stralloc value = {0}, why = {0};
  const struct setting *s;
  int r = EXIT_OK;

  if (argc < 3) {
    fprintf(stderr, "usage: heloise set NAME VALUE\n");
    return EXIT_USAGE;
  }
  s = known(argv[1]);
  if (!s)
    return EXIT_USAGE;
  if (join(&value, argc - 2, argv + 2) != 0)
    return EXIT_TEMPFAIL;
  if (strpbrk(value.s, "\r\n") || settings_check(s, value.s, value.len - 1, &why) != 0) {
    fprintf(stderr, "heloise: %.*s\n", why.len ? (int)why.len : 17, why.len ? why.s : "expected one line");
    r = EXIT_CONFIG;
  } else if (change(i, s->name, value.s) != 0) {
    r = fail(i, "change", errno);
  }
  stralloc_free(&value);
  stralloc_free(&why);
  return r;
}
