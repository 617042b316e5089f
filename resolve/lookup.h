/* lookup.h - DNS look-ups through libunbound, in the event loop
 *
 * The only part that knows libunbound. A struct lookup is one context: its name servers,
 * its cache, its thread. */
#ifndef RESOLVE_LOOKUP_H
#define RESOLVE_LOOKUP_H

#include <stdint.h>
#include <stralloc.h>

#include "resolve/answer.h"

struct lookup;

struct lookup_result {
  enum ask_status status;
  enum ask_security security;
  uint32_t ttl;
  const char *canonical;   /* text as DNS has it; "" when there is none */
  const stralloc *records; /* answer.h */
  const char *why;         /* of ASK_FAILED: a few words for the log */
};

/* embed one per question under way */
struct lookup_query {
  void (*done)(struct lookup_query *q, const struct lookup_result *r);
  struct lookup *in; /* NULL when nothing is under way */
  int id;
};

struct lookup_config {
  const char *servers; /* "ADDR@PORT ...", empty: those of /etc/resolv.conf */
  const char *anchor;  /* file with the root's trust anchor; NULL: do not validate */
};

/* a new context in the loop: NULL with *why. Its thread starts with the first question. */
struct lookup *lookup_open(const struct lookup_config *c, const char **why);
/* closes l as soon as its last question is answered or cancelled */
void lookup_retire(struct lookup *l);

/* asks; q->done is called later, once, unless q is cancelled. 0, or -1. name is checked
 * (answer_name). */
int lookup_ask(struct lookup *l, const char *name, enum answer_type t, struct lookup_query *q);
/* asks for the root's keys: whether validation can work at all */
int lookup_keys(struct lookup *l, struct lookup_query *q);
/* harmless when nothing is under way */
void lookup_cancel(struct lookup_query *q);

#endif
