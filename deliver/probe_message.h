/* probe_message.h - the message a probe asks about: would it fit? */
#ifndef DELIVER_PROBE_MESSAGE_H
#define DELIVER_PROBE_MESSAGE_H

#include <stdint.h>

#include "common/instance.h"
#include "deliver/client.h"
#include "queue/envelope.h"

struct probe_message {
  int fd; /* -1: no message */
  struct envelope e; /* of a file only what is said of its content, and the null sender */
  size_t n;
  struct recipient *recipient; /* those that are left; of a file none */
  struct eightbit_case eight;
};

/* opens a message by its id in the queue, or a file: 0, or an exit code after a complaint */
int probe_message_open(const struct instance *i, const char *what, struct probe_message *m);

enum probe_fit { FIT_NOT_NEEDED, FIT_YES, FIT_NO };

struct probe_fits {
  uint64_t bytes;       /* as it would be sent */
  uint64_t limit;       /* the peer's; 0: none is declared */
  enum probe_fit size;  /* never FIT_NOT_NEEDED */
  enum probe_fit eightbit; /* FIT_NO: it would not go as it is */
  const char *content;  /* what becomes of 8-bit text and long lines, and why; "" nothing */
  enum probe_fit utf8;  /* FIT_NO: it would not be sent */
};
/* compares it with what the peer offered in the session, whose attempt has the message's eight,
 * recipients, and how many others are to come */
void probe_message_fit(const struct probe_message *m, const struct session *s, struct probe_fits *f);

#endif
