/* request.h - the command line of `heloise queue ...`
 *
 * Pure. Read by the command, and again by the manager, which gets arguments as they were typed. */
#ifndef QUEUE_REQUEST_H
#define QUEUE_REQUEST_H

#include <stddef.h>

#include "queue/filter.h"

enum request_verb {
  REQUEST_LIST,
  REQUEST_SHOW,
  REQUEST_WHY,
  REQUEST_HOLD,
  REQUEST_RELEASE,
  REQUEST_RETRY,
  REQUEST_REMOVE,
  REQUEST_BOUNCE,
  REQUEST_STATS,
  REQUEST_VERIFY,
  REQUEST_EXPORT,
  REQUEST_IMPORT,
  REQUEST_MAILQ,
  REQUEST_SELECT, /* between the command and the manager: the ids a filter takes */
  REQUEST_FETCH,  /* likewise: messages, as they stand in an archive */
  REQUEST_VERBS
};

/* what show is asked for; none: all in words */
enum request_part {
  PART_HEADERS = 1,
  PART_BODY = 2,
  PART_ENVELOPE = 4,
  PART_TRANSCRIPT = 8
};

struct request {
  enum request_verb verb;
  struct filter filter;
  unsigned int parts;   /* enum request_part */
  unsigned int attempt; /* of --transcript; 0: all */
  unsigned int top;     /* rows of stats; 0: all */
  unsigned int width;   /* of the terminal, for bars; 0: it is none */
  int json, yes, repair, removes, wants_help;
  const char *reason; /* NULL: none */
  const char **arg;   /* what is no option; freed by request_free() */
  size_t args;
};

/* 0; -1: it cannot be understood, with *why (a static text). wants_help is set by --help, and
 * then nothing else is checked. Free with request_free() in any case. */
int request_parse(struct request *r, int argc, const char *const *argv, const char **why);
void request_free(struct request *r);

/* "list", and "list [--json] [FILTER]" */
const char *request_word(enum request_verb v);
const char *request_usage(enum request_verb v);
/* what it does, in one line; NULL: the verb is not for people */
const char *request_summary(enum request_verb v);
/* what --help says below the usage line: the options, a line each */
void request_help(enum request_verb v, int (*line)(void *arg, const char *option, const char *text),
                  void *arg);

#endif
