/* defaults.c - the texts of conf/default, as `heloise init` writes them
 *
 * They are part of the program, so that init works from anywhere. */
#include "conf/defaults.h"

#include <stddef.h>

#define TABLES(X) \
  X(listen) X(domains) X(routes) X(aliases) X(mailboxes) X(access) X(dnslists) X(peers) X(verbs) X(retry) \
  X(certificates) X(senders) X(users)

/* the file's bytes and a NUL, by the assembler; paths are relative to where make runs */
#define X(name) \
  __asm__(".pushsection .rodata\n" \
          "default_" #name ": .incbin \"conf/default/" #name "\"\n.byte 0\n" \
          ".popsection\n"); \
  extern const char default_##name[];
TABLES(X)
#undef X

const struct default_table defaults[] = {
#define X(name) {#name, default_##name},
  TABLES(X)
#undef X
  {NULL, NULL},
};
