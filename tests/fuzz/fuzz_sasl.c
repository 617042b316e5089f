/* fuzz_sasl.c - PLAIN, login names, lists of words, values of table users, Dovecot's lines:
 * parts lie inside what they are parts of, and what was taken is in its form */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/sasl.h"
#include "smtpd/dovecot_reply.h"
#include "smtpd/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(const char *s, size_t n, const char *line, size_t len)
{
  if (n > 0 && (s < line || s + n > line + len))
    abort();
}

static void try_plain(const char *s, size_t len)
{
  struct sasl_plain p;

  if (sasl_plain_read(s, len, &p) != 0)
    return;
  inside(p.authzid, p.authzidlen, s, len);
  inside(p.login, p.loginlen, s, len);
  inside(p.password, p.passwordlen, s, len);
  if (p.loginlen == 0 || p.passwordlen == 0 || memchr(p.login, 0, p.loginlen) ||
      memchr(p.password, 0, p.passwordlen) || p.authzidlen + p.loginlen + p.passwordlen + 2 != len)
    abort();
}

static void try_login(const char *s, size_t len)
{
  stralloc login = {0}, again = {0};

  if (sasl_login(s, len, &login) == 0) {
    if (strlen(login.s) != len || sasl_login(login.s, login.len, &again) != 0 || strcmp(login.s, again.s) != 0)
      abort();
  }
  stralloc_free(&login);
  stralloc_free(&again);
}

static void try_words(const char *s, size_t len)
{
  enum backend_name list[BACKEND_COUNT];
  unsigned int set, same;
  stralloc text = {0};
  size_t n;

  if (backends_read(s, len, list, &n) == 0 && n > BACKEND_COUNT)
    abort();
  if (mechanisms_read(s, len, &set) == 0 &&
      (mechanisms_format(&text, set) != 0 || mechanisms_read(text.s, text.len, &same) != 0 || same != set))
    abort();
  stralloc_free(&text);
}

static void try_password(const char *s, size_t len)
{
  struct password p;
  const char *why;

  if (password_read(s, len, &p, &why) == 0) {
    if (!p.crypt[0] && !p.scram.iterations)
      abort();
    if (p.scram.iterations && (strlen(p.scram.stored) != 44 || strlen(p.scram.server) != 44))
      abort();
  } else if (!why || !*why) {
    abort();
  }
}

static void try_dovecot(const char *s, size_t len)
{
  struct dovecot_reply r;

  if (dovecot_reply_read(s, len, &r) == 0)
    inside(r.value, r.valuelen, s, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *s = len ? (const char *)data : ""; /* an empty input may have no place */

  try_plain(s, len);
  try_login(s, len);
  try_words(s, len);
  try_password(s, len);
  try_dovecot(s, len);
  return 0;
}
