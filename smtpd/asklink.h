/* asklink.h - questions to heloise-resolve: our end of the ASK channel
 *
 * Many at once on one channel. The resolver is more trusted than we are; what it hands on in
 * records is hostile. */
#ifndef SMTPD_ASKLINK_H
#define SMTPD_ASKLINK_H

#include <stddef.h>
#include <stdint.h>

#include "resolve/ask.h"

/* one question; zeroes and answered() are its beginning */
struct asked {
  /* records are to be read with dnsanswers.h, and live until it returns */
  void (*answered)(struct asked *a, enum ask_status s, const char *records, size_t len);
  uint64_t number;
  int is_waiting;
};

/* the channel's descriptor: the first or one that replaces it. 0, or -1 with errno. */
int asklink_channel(int fd);
/* asks; answered() follows, with ASK_FAILED when the resolver is gone. 0, or -1: there is nobody to
 * ask. Clocks are the caller's. */
int asklink_ask(struct asked *a, const char *name, const char *type);
/* no answer is wanted any more; harmless when none was */
void asklink_drop(struct asked *a);

#endif
