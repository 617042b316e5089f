/* forward.h - sends a message on to the addresses of an alias, through the intake */
#ifndef DELIVER_FORWARD_H
#define DELIVER_FORWARD_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/loop.h"
#include "common/verdict.h"
#include "queue/envelope.h"

enum forward_state {
  FORWARD_IDLE,
  FORWARD_BEGINNING, /* BEGIN and RCPTs are being sent */
  FORWARD_WAITING,   /* for OPENED */
  FORWARD_SENDING,   /* DATA, COMMIT */
  FORWARD_COMMITTED  /* waiting for DONE */
};

/* one message on its way to the intake; a struct of zeroes is idle */
struct forward {
  /* called once, when the intake has answered, or cannot; not after forward_cancel() */
  void (*done)(struct forward *f, enum verdict v, const char *status, const char *text);
  struct forward *next;
  struct loop_timer timer;
  enum forward_state state;
  uint64_t number; /* on the channel */
  int fd;          /* the queue file; the caller's */
  const struct envelope *env;
  size_t rcpt;     /* for which of its recipients */
  stralloc to;     /* the new recipients, NUL after each; bound: an alias's value, completed */
  size_t to_count, to_at, to_sent;
  int is_several;  /* it goes to more than one place: whoever expanded the alias reports success */
  stralloc mark;   /* Delivered-To; bound: one address */
  stralloc orcpt;  /* ORCPT for them, NUL-terminated; bound: one address as xtext */
  uint64_t sent;   /* bytes of the message */
};

/* takes the channel to the intake; what was under way on an earlier one fails. 0, or -1. */
int forward_channel(int fd);

/* collects the addresses of an alias's text in f->to; those without a domain get self's,
 * which is a local one. An address equal to self is left out and *has_self set. 0, or -1
 * (ENOMEM). */
int forward_addresses(struct forward *f, const char *text, size_t len, const char *self,
                      int *has_self);

/* begins: fd, env, rcpt, to, is_several and done are set. done() may be called at once. */
void forward_start(struct forward *f);
void forward_cancel(struct forward *f);
void forward_free(struct forward *f);

/* NOTIFY for the addresses of an alias (RFC 3461 5.2.7): as it was, without SUCCESS when there
 * are several. Pure. */
#define FORWARD_NOTIFY 64
void forward_notify(char out[FORWARD_NOTIFY], const char *notify, int is_several);

#endif
