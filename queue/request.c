/* request.c - the command line of `heloise queue ...` */
#include "queue/request.h"

#include <stdlib.h>
#include <string.h>

#include "common/units.h"

/* ---- the verbs */

enum takes {
  TAKES_JSON = 1,
  TAKES_FILTER = 2,
  TAKES_YES = 4,
  TAKES_PARTS = 8,
  TAKES_REASON = 16,
  TAKES_TOP = 32,
  TAKES_REPAIR = 64,
  TAKES_REMOVE = 128,
  TAKES_WIDTH = 256
};

#define MANY 1000000

static const struct {
  const char *word, *usage, *summary;
  unsigned int takes; /* enum takes */
  size_t least, most; /* arguments besides options */
} verbs[REQUEST_VERBS] = {
  [REQUEST_LIST] = {"list", "list [FILTER] [--json]", "every message, its state and its recipients",
                    TAKES_JSON | TAKES_FILTER, 0, 0},
  [REQUEST_SHOW] = {"show", "show ID [--headers] [--body] [--envelope] [--transcript [N]] [--json]",
                    "one message: its envelope and history, or what it says",
                    TAKES_JSON | TAKES_PARTS, 1, 1},
  [REQUEST_WHY] = {"why", "why ID [--json]", "why it is still here, and what happens next",
                   TAKES_JSON, 1, 1},
  [REQUEST_HOLD] = {"hold", "hold ID ... | FILTER | all [--yes] [--json]",
                    "keep messages here, untried, until they are released",
                    TAKES_JSON | TAKES_FILTER | TAKES_YES, 0, MANY},
  [REQUEST_RELEASE] = {"release", "release ID ... | FILTER | all [--yes] [--json]",
                       "let messages that are on hold go on as before",
                       TAKES_JSON | TAKES_FILTER | TAKES_YES, 0, MANY},
  [REQUEST_RETRY] = {"retry", "retry [ID ... | FILTER | DOMAIN | all] [--yes] [--json]",
                     "try messages now", TAKES_JSON | TAKES_FILTER | TAKES_YES, 0, MANY},
  [REQUEST_REMOVE] = {"remove", "remove ID ... | FILTER | all [--yes] [--json]",
                      "throw messages away; nobody is told",
                      TAKES_JSON | TAKES_FILTER | TAKES_YES, 0, MANY},
  [REQUEST_BOUNCE] = {"bounce", "bounce ID ... | FILTER | all [--reason TEXT] [--yes] [--json]",
                      "give messages up; their senders get a report",
                      TAKES_JSON | TAKES_FILTER | TAKES_YES | TAKES_REASON, 0, MANY},
  [REQUEST_STATS] = {"stats", "stats [FILTER] [--top N] [--json]",
                     "recipients that wait, by domain and age, and what was done",
                     TAKES_JSON | TAKES_FILTER | TAKES_TOP | TAKES_WIDTH, 0, 0},
  [REQUEST_VERIFY] = {"verify", "verify [--repair] [--json]",
                      "read everything, and say what is broken", TAKES_JSON | TAKES_REPAIR, 0, 0},
  [REQUEST_EXPORT] = {"export", "export FILE [ID ... | FILTER] [--remove] [--yes] [--json]",
                      "write messages with all that is known of them to a file",
                      TAKES_JSON | TAKES_FILTER | TAKES_YES | TAKES_REMOVE, 1, MANY},
  [REQUEST_IMPORT] = {"import", "import FILE [--json]", "take in the messages of such a file",
                      TAKES_JSON, 1, 1},
  [REQUEST_MAILQ] = {"mailq", "mailq", "the list that mailq(1) prints", 0, 0, 0},
  [REQUEST_SELECT] = {"select", "select [FILTER]", NULL, TAKES_FILTER, 0, MANY},
  [REQUEST_FETCH] = {"fetch", "fetch ID ...", NULL, 0, 1, MANY},
};

/* ---- the options */

/* each takes the value of its option: 0, or -1 with *why */
static int take_json(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->json = 1;
  return 0;
}

static int take_yes(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->yes = 1;
  return 0;
}

static int take_repair(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->repair = 1;
  return 0;
}

static int take_remove(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->removes = 1;
  return 0;
}

static int take_headers(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->parts |= PART_HEADERS;
  return 0;
}

static int take_body(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->parts |= PART_BODY;
  return 0;
}

static int take_envelope(struct request *r, const char *value, const char **why)
{
  (void)value, (void)why;
  r->parts |= PART_ENVELOPE;
  return 0;
}

static int number(const char *s, unsigned int max, unsigned int *n)
{
  uint64_t v;

  if (units_number(s, strlen(s), &v) != 0 || v > max)
    return -1;
  *n = (unsigned int)v;
  return 0;
}

static int take_transcript(struct request *r, const char *value, const char **why)
{
  *why = "attempts are numbered from 1";
  r->parts |= PART_TRANSCRIPT;
  return !value ? 0 : number(value, 65535, &r->attempt) == 0 && r->attempt > 0 ? 0 : -1;
}

static int take_reason(struct request *r, const char *value, const char **why)
{
  *why = "a reason is one line of text, of 500 bytes at most";
  r->reason = value;
  for (const char *s = value; *s; s++)
    if ((unsigned char)*s < 32 || *s == 127)
      return -1;
  return *value && strlen(value) <= 500 ? 0 : -1;
}

static int take_top(struct request *r, const char *value, const char **why)
{
  *why = "--top needs a number; 0 shows all";
  return number(value, 1000000, &r->top);
}

static int take_width(struct request *r, const char *value, const char **why)
{
  *why = "--width needs a number";
  return number(value, 1000, &r->width);
}

enum form { FLAG, VALUE, MAYBE_NUMBER };

static const struct option {
  const char *name, *shown, *help;
  unsigned int takes;
  enum form form;
  int (*take)(struct request *r, const char *value, const char **why); /* NULL: a filter's */
} options[] = {
  {"state", "--state S[,S]", "in state new, active, deferred or hold", TAKES_FILTER, VALUE, NULL},
  {"sender", "--sender ADDRESS", "from that sender; also @DOMAIN, patterns with * and ?, <>",
   TAKES_FILTER, VALUE, NULL},
  {"rcpt", "--rcpt ADDRESS", "with such a recipient left", TAKES_FILTER, VALUE, NULL},
  {"domain", "--domain DOMAIN", "with a recipient left there; .DOMAIN: beneath it", TAKES_FILTER,
   VALUE, NULL},
  {"older", "--older AGE", "received at least so long ago, as 5d or 1h30m", TAKES_FILTER, VALUE,
   NULL},
  {"headers", "--headers", "the message's header, as it is", TAKES_PARTS, FLAG, take_headers},
  {"body", "--body", "the message's body, as it is", TAKES_PARTS, FLAG, take_body},
  {"envelope", "--envelope", "sender, recipients and their states", TAKES_PARTS, FLAG,
   take_envelope},
  {"transcript", "--transcript [N]", "what was said in its attempts, or in attempt N", TAKES_PARTS,
   MAYBE_NUMBER, take_transcript},
  {"reason", "--reason TEXT", "what the senders are told", TAKES_REASON, VALUE, take_reason},
  {"top", "--top N", "so many domains, the rest in one line (20; 0: all)", TAKES_TOP, VALUE,
   take_top},
  {"width", NULL, NULL, TAKES_WIDTH, VALUE, take_width},
  {"repair", "--repair", "move what is broken to queue/corrupt", TAKES_REPAIR, FLAG, take_repair},
  {"remove", "--remove", "and take them out of this queue once the file is on disk", TAKES_REMOVE,
   FLAG, take_remove},
  {"yes", "--yes", "do not ask before touching more than one", TAKES_YES, FLAG, take_yes},
  {"json", "--json", "JSON, an object a line", TAKES_JSON, FLAG, take_json},
};
#define OPTIONS (sizeof options / sizeof *options)

static const struct option *find_option(unsigned int takes, const char *s, size_t len)
{
  for (size_t i = 0; i < OPTIONS; i++)
    if ((options[i].takes & takes) && strlen(options[i].name) == len &&
        strncmp(options[i].name, s, len) == 0)
      return &options[i];
  return NULL;
}

static int is_number(const char *s)
{
  return *s && strspn(s, "0123456789") == strlen(s);
}

/* takes the option argv[0], "--name" or "--name=value"; how many arguments it used, or -1 */
static int take_option(struct request *r, int argc, const char *const *argv, const char **why)
{
  const char *name = argv[0] + 2, *value = strchr(name, '=');
  const struct option *o =
    find_option(verbs[r->verb].takes, name, value ? (size_t)(value - name) : strlen(name));
  int used = 1;

  *why = "there is no such option";
  if (!o)
    return -1;
  *why = o->form == FLAG ? "an option takes no value" : "an option lacks its value";
  if (value ? o->form == FLAG : o->form == VALUE && argc < 2)
    return -1;
  if (value) {
    value++;
  } else if (o->form == VALUE || (o->form == MAYBE_NUMBER && argc > 1 && is_number(argv[1]))) {
    value = argv[1];
    used = 2;
  }
  if ((o->take ? o->take(r, value, why) : filter_set(&r->filter, o->name, value, why)) != 0)
    return -1;
  return used;
}

/* ---- the whole line */

static int find_verb(struct request *r, const char *word)
{
  for (size_t v = 0; v < REQUEST_VERBS; v++)
    if (strcmp(verbs[v].word, word) == 0) {
      r->verb = (enum request_verb)v;
      return 0;
    }
  return -1;
}

static int check(const struct request *r, const char **why)
{
  unsigned int takes = verbs[r->verb].takes;

  *why = "too many arguments";
  if (r->args > verbs[r->verb].most)
    return -1;
  *why = "an argument is missing";
  if (r->args < verbs[r->verb].least)
    return -1;
  /* what acts on messages is told which; retry alone may mean all of them */
  if ((takes & TAKES_YES) && r->verb != REQUEST_RETRY && r->verb != REQUEST_EXPORT &&
      r->args == 0 && !filter_is_set(&r->filter))
    return -1;
  *why = "ids and a filter exclude each other";
  if ((takes & TAKES_YES) && filter_is_set(&r->filter) && r->args > verbs[r->verb].least)
    return -1;
  *why = "--headers, --body, --envelope and --transcript: only the first two go together";
  if ((r->parts & (PART_ENVELOPE | PART_TRANSCRIPT)) && (r->parts & (r->parts - 1)))
    return -1;
  *why = "the header and body are shown as they are, not as JSON";
  return (r->parts & (PART_HEADERS | PART_BODY)) && r->json ? -1 : 0;
}

int request_parse(struct request *r, int argc, const char *const *argv, const char **why)
{
  int has_ended = 0, used;

  memset(r, 0, sizeof *r);
  r->verb = REQUEST_VERBS;
  r->top = 20;
  *why = "there is no such verb";
  if (argc < 1 || find_verb(r, argv[0]) != 0)
    return -1;
  *why = "out of memory";
  r->arg = calloc((size_t)argc, sizeof *r->arg);
  if (!r->arg)
    return -1;
  for (int i = 1; i < argc; i += used) {
    used = 1;
    if (has_ended || argv[i][0] != '-' || !argv[i][1]) {
      r->arg[r->args++] = argv[i];
    } else if (strcmp(argv[i], "--") == 0) {
      has_ended = 1;
    } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      r->wants_help = 1;
      return 0;
    } else {
      *why = "there is no such option";
      used = argv[i][1] == '-' ? take_option(r, argc - i, argv + i, why) : -1;
      if (used < 0)
        return -1;
    }
  }
  return check(r, why);
}

void request_free(struct request *r)
{
  free(r->arg);
  r->arg = NULL;
  r->args = 0;
}

const char *request_word(enum request_verb v)
{
  return verbs[v].word;
}

const char *request_usage(enum request_verb v)
{
  return verbs[v].usage;
}

const char *request_summary(enum request_verb v)
{
  return verbs[v].summary;
}

void request_help(enum request_verb v, int (*line)(void *arg, const char *option, const char *text),
                  void *arg)
{
  for (size_t i = 0; i < OPTIONS; i++)
    if (options[i].shown && (verbs[v].takes & options[i].takes))
      line(arg, options[i].shown, options[i].help);
}
