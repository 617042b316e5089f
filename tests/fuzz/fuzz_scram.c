/* fuzz_scram.c - an exchange of SCRAM: the first byte chooses binding, the lines are what the
 * client says. Only a proof of the password ends it well. */
#include <gsasl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* the library's nonce, always the same, so that a message can answer it */
int gsasl_nonce(char *data, size_t n)
{
  memset(data, 'A', n);
  return GSASL_OK;
}

static int keys(void *arg, const char *login, struct password_scram *k)
{
  (void)arg;
  if (strcmp(login, "nobody") == 0)
    return -1;
  *k = (struct password_scram){4096, "W22ZaJ0SNY7soEsUEjb6gQ==", "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
                               "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="};
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct scram s = {.keys = keys};
  enum scram_result r = SCRAM_MORE;
  const char *at = (const char *)data + 1, *end = (const char *)data + len;
  stralloc out = {0};

  if (scram_library() != 0)
    abort();
  if (len == 0)
    return 0;
  s.exporter = data[0] & 2 ? "AAAA" : NULL;
  s.unique = data[0] & 4 ? "BBBB" : NULL;
  if (scram_start(&s, data[0] & 1) != 0)
    abort();
  for (int n = 0; r == SCRAM_MORE && n < 4 && at < end; n++) {
    const char *lf = memchr(at, '\n', (size_t)(end - at));
    size_t line = (size_t)((lf ? lf : end) - at);
    r = scram_step(&s, at, line, &out);
    if (n == 0 && r == SCRAM_DONE)
      abort();
    if ((r == SCRAM_MORE || r == SCRAM_DONE) && (out.len == 0 || memchr(out.s, 0, out.len)))
      abort();
    at += line + (lf != NULL);
  }
  if (r == SCRAM_DONE)
    (void)scram_acts_as(&s);
  scram_end(&s);
  stralloc_free(&out);
  return 0;
}
