/* fuzz_peerwords.c - values of table `peers` */
#include <stdint.h>
#include <stdlib.h>

#include "common/peerwords.h"
#include "common/verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *why = NULL;
  struct peerwords w;

  if (peerwords_parse((const char *)data, len, &w, &why) != 0) {
    if (!why)
      abort();
    return 0;
  }
  if ((w.says_helo && w.says_ehlo) || (w.says_helo && w.tls >= PEER_TLS_ENCRYPT) || w.off >= 1U << VERB_COUNT)
    abort();
  return 0;
}
