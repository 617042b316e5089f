/* arguments.c - the command line of sendmail(8). Pure; the caller is hostile. */
#include "queue/arguments.h"

#include <stddef.h>
#include <string.h>

/* how an option takes its value */
enum form {
  FLAG,     /* none: -it is -i -t */
  ATTACHED, /* what follows the letter, perhaps nothing */
  VALUE     /* what follows the letter, or the next argument */
};

static void take_i(struct arguments *a, const char *v)
{
  (void)v;
  a->dot_is_text = 1;
}

static void take_t(struct arguments *a, const char *v)
{
  (void)v;
  a->from_header = 1;
}

static void take_gateway(struct arguments *a, const char *v)
{
  (void)v;
  a->is_gateway = 1;
}

static void take_aliases(struct arguments *a, const char *v)
{
  (void)v;
  a->mode = MODE_ALIASES;
}

static void take_sender(struct arguments *a, const char *v)
{
  a->sender = v;
}

static void take_name(struct arguments *a, const char *v)
{
  a->full_name = v;
}

static void take_body(struct arguments *a, const char *v)
{
  a->is_8bit = strcasecmp(v, "8BITMIME") == 0;
}

static void take_notify(struct arguments *a, const char *v)
{
  a->notify = v;
}

static void take_ret(struct arguments *a, const char *v)
{
  a->ret = v;
}

static void take_envid(struct arguments *a, const char *v)
{
  a->envid = v;
}

/* -oi; all other old options change nothing here */
static void take_old(struct arguments *a, const char *v)
{
  if (strcmp(v, "i") == 0)
    a->dot_is_text = 1;
}

static void take_mode(struct arguments *a, const char *v)
{
  static const struct {
    const char *letter;
    enum arguments_mode mode;
  } modes[] = {{"m", MODE_SUBMIT}, {"p", MODE_LIST}, {"i", MODE_ALIASES}};

  a->mode = MODE_UNKNOWN;
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(v, modes[i].letter) == 0)
      a->mode = modes[i].mode;
}

/* -q: all waiting mail is tried now; with a time behind it, what a daemon would be told */
static void take_queue(struct arguments *a, const char *v)
{
  if (*v == 0)
    a->mode = MODE_RETRY;
}

static const struct option {
  char letter;
  enum form form;
  void (*take)(struct arguments *a, const char *v); /* NULL: accepted, changes nothing */
} options[] = {
  {'A', ATTACHED, NULL},      {'B', VALUE, take_body},   {'b', ATTACHED, take_mode},
  {'C', VALUE, NULL},         {'D', VALUE, NULL},        {'d', ATTACHED, NULL},
  {'F', VALUE, take_name},    {'f', VALUE, take_sender}, {'G', FLAG, take_gateway},
  {'h', VALUE, NULL},         {'I', FLAG, take_aliases}, {'i', FLAG, take_i},
  {'L', VALUE, NULL},         {'m', FLAG, NULL},         {'N', VALUE, take_notify},
  {'n', FLAG, NULL},          {'O', VALUE, NULL},        {'o', ATTACHED, take_old},
  {'p', VALUE, NULL},         {'q', ATTACHED, take_queue}, {'R', VALUE, take_ret},
  {'r', VALUE, take_sender},  {'t', FLAG, take_t},       {'U', FLAG, NULL},
  {'V', VALUE, take_envid},   {'v', FLAG, NULL},         {'X', VALUE, NULL},
  {'x', FLAG, NULL},
};

static const struct option *find(char letter)
{
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (options[i].letter == letter)
      return &options[i];
  return NULL;
}

/* one argument of option letters; *next is the argument behind it. Returns how many more
 * arguments it used, or -1. */
static int cluster(struct arguments *a, const char *letters, const char *next)
{
  for (; *letters; letters++) {
    const struct option *o = find(*letters);
    const char *value = letters + 1;
    int uses_next = o && o->form == VALUE && *value == 0;
    if (!o)
      return 0;
    if (uses_next && !next)
      return -1;
    if (uses_next)
      value = next;
    if (o->take)
      o->take(a, value);
    if (o->form != FLAG)
      return uses_next;
  }
  return 0;
}

int arguments_parse(struct arguments *a, char **argv, const char **why)
{
  const char *name = argv[0] ? strrchr(argv[0], '/') : NULL;

  memset(a, 0, sizeof *a);
  name = name ? name + 1 : argv[0] ? argv[0] : "";
  if (strcmp(name, "mailq") == 0)
    a->mode = MODE_LIST;
  else if (strcmp(name, "newaliases") == 0)
    a->mode = MODE_ALIASES;
  argv += argv[0] != NULL;
  while (*argv && (*argv)[0] == '-' && (*argv)[1]) {
    int used;
    if (strcmp(*argv, "--") == 0) {
      argv++;
      break;
    }
    used = cluster(a, *argv + 1, argv[1]);
    *why = "an option lacks its value";
    if (used < 0)
      return -1;
    argv += 1 + used;
  }
  a->rcpt = argv;
  return 0;
}
