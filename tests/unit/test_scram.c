/* test_scram.c - SCRAM with the user of RFC 7677, passwords, and made-up salts
 *
 * The library takes its nonce from gsasl_nonce(), which this program has one of its own of. It
 * writes nonces in base64, which the RFC's is not: the RFC's whole exchange is in
 * tests/e2e/test_auth.py, whose client is not the library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <gsasl.h>
#include <stdio.h>
#include <string.h>

#include "common/base64.h"
#include "smtpd/scram.h"

/* what becomes the server's part of the nonce, in base64; random when it is NULL */
static const char *nonce;

int gsasl_nonce(char *data, size_t n)
{
  static unsigned char next;

  for (size_t i = 0; i < n; i++)
    data[i] = nonce ? nonce[i] : (char)++next;
  return GSASL_OK;
}

static const char value[] =
  "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
  "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

static int keys(void *arg, const char *login, struct password_scram *k)
{
  struct password p;
  const char *why;

  if (arg)
    snprintf(arg, 64, "%s", login);
  if (strcmp(login, "nobody") == 0)
    return -1;
  assert_int_equal(password_read(value, strlen(value), &p, &why), 0);
  *k = p.scram;
  return 0;
}

/* what a client with the password "pencil" answers */
static int client(Gsasl *g, Gsasl_session *s, Gsasl_property what)
{
  (void)g;
  return what == GSASL_AUTHID     ? gsasl_property_set(s, what, "user")
         : what == GSASL_PASSWORD ? gsasl_property_set(s, what, gsasl_session_hook_get(s))
                                  : GSASL_NO_CALLBACK;
}

/* The keys of RFC 7677 3: user, pencil, 4096 iterations */
static void keys_of_rfc7677(void **state)
{
  static const char salt64[] = "W22ZaJ0SNY7soEsUEjb6gQ==";
  char salted[32], client_key[32], server[32], stored[32];
  stralloc salt = {0}, text = {0};

  (void)state;
  assert_int_equal(base64_decode(salt64, strlen(salt64), &salt), 0);
  assert_int_equal(gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, "pencil", 4096, salt.s, salt.len,
                                                     salted, client_key, server, stored),
                   GSASL_OK);
  assert_int_equal(base64_encode(&text, stored, 32), 0);
  assert_memory_equal(text.s, strstr(value, "WG5d"), 44);
  stralloc_free(&salt);
  stralloc_free(&text);
}

static void step(struct scram *s, const char *in, enum scram_result want, stralloc *out)
{
  assert_int_equal(scram_step(s, in, strlen(in), out), want);
  assert_true(stralloc_0(out));
}

static void exchange(void **state)
{
  char login[64] = "";
  struct scram s = {.keys = keys, .arg = login};
  stralloc out = {0};
  Gsasl *g;
  Gsasl_session *c;
  char *text;
  size_t len;

  (void)state;
  nonce = "12345678901234567890123456789012";
  assert_int_equal(gsasl_init(&g), GSASL_OK);
  gsasl_callback_set(g, client);
  assert_int_equal(gsasl_client_start(g, "SCRAM-SHA-256", &c), GSASL_OK);
  gsasl_session_hook_set(c, (void *)(uintptr_t)"pencil");
  assert_int_equal(scram_start(&s, 0), 0);
  assert_int_equal(gsasl_step(c, NULL, 0, &text, &len), GSASL_NEEDS_MORE);
  step(&s, text, SCRAM_MORE, &out);
  gsasl_free(text);
  assert_string_equal(login, "user");
  assert_string_equal(out.s, "r=MTIzNDU2Nzg5MDEyMzQ1Njc4MTIzNDU2Nzg5MDEyMzQ1Njc4,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  assert_int_equal(gsasl_step(c, out.s, out.len - 1, &text, &len), GSASL_NEEDS_MORE);
  step(&s, text, SCRAM_DONE, &out);
  gsasl_free(text);
  assert_memory_equal(out.s, "v=", 2);
  assert_int_equal(gsasl_step(c, out.s, out.len - 1, &text, &len), GSASL_OK); /* we proved ourselves too */
  gsasl_free(text);
  gsasl_finish(c);
  gsasl_done(g);
  scram_end(&s);
  stralloc_free(&out);
  nonce = NULL;
}

static void bad_messages(void **state)
{
  static const struct {
    const char *first;
    enum scram_result want;
  } cases[] = {
    {"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", SCRAM_MORE},
    {"y,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", SCRAM_MORE}, /* it could bind, and saw no -PLUS */
    {"n,a=other,n=user,r=fyko+d2lbbFgONRv9qkxdawL", SCRAM_MORE},
    {"n,,n=us=2Cer=3D,r=fyko", SCRAM_MORE},
    {"n,,n=nobody,r=fyko", SCRAM_DECLINED},
    {"n,,n=user", SCRAM_MALFORMED},
    {"n,,r=fyko", SCRAM_MALFORMED},
    {"n,,m=ext,n=user,r=fyko", SCRAM_MALFORMED},
    {"n,n=user,r=fyko", SCRAM_MALFORMED},
    {"x,,n=user,r=fyko", SCRAM_MALFORMED},
    {"", SCRAM_MALFORMED},
    {"\xff\xff", SCRAM_MALFORMED},
  };
  stralloc out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct scram s = {.keys = keys};
    enum scram_result r;
    assert_int_equal(scram_start(&s, 0), 0);
    r = scram_step(&s, cases[i].first, strlen(cases[i].first), &out);
    if (r != cases[i].want)
      fail_msg("%s: %d", cases[i].first, r);
    if (r == SCRAM_MORE) { /* a proof of nothing */
      assert_true(stralloc_0(&out));
      r = scram_step(&s, "c=biws,r=x,p=AAAA", 17, &out);
      assert_true(r == SCRAM_WRONG || r == SCRAM_MALFORMED);
    }
    scram_end(&s);
    scram_end(&s);
  }
  stralloc_free(&out);
}

/* -PLUS takes this TLS session's binding, no other and none; a client that could bind, but was
 * told that we cannot, has met somebody in between */
static void binding(void **state)
{
  static const struct {
    int is_bound;
    const char *exporter, *unique, *first;
    enum scram_result want;
  } cases[] = {
    {1, "AAAA", NULL, "p=tls-exporter,,n=user,r=fyko", SCRAM_MORE},
    {1, NULL, "AAAA", "p=tls-unique,,n=user,r=fyko", SCRAM_MORE},
    {1, "AAAA", NULL, "p=tls-unique,,n=user,r=fyko", SCRAM_MALFORMED},
    {1, "AAAA", NULL, "p=tls-server-end-point,,n=user,r=fyko", SCRAM_WRONG},
    {1, "AAAA", NULL, "n,,n=user,r=fyko", SCRAM_WRONG},
    {1, "AAAA", NULL, "y,,n=user,r=fyko", SCRAM_WRONG},
    {0, "AAAA", NULL, "y,,n=user,r=fyko", SCRAM_WRONG},
    {0, "AAAA", NULL, "p=tls-exporter,,n=user,r=fyko", SCRAM_WRONG},
    {0, "AAAA", NULL, "n,,n=user,r=fyko", SCRAM_MORE},
  };
  stralloc out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct scram s = {.keys = keys, .exporter = cases[i].exporter, .unique = cases[i].unique};
    enum scram_result r;
    assert_int_equal(scram_start(&s, cases[i].is_bound), 0);
    r = scram_step(&s, cases[i].first, strlen(cases[i].first), &out);
    if (r != cases[i].want)
      fail_msg("case %zu, %s: %d", i, cases[i].first, r);
    scram_end(&s);
  }
  stralloc_free(&out);
}

static void passwords(void **state)
{
  stralloc made = {0}, again = {0};
  struct password p, scram_only, crypt_only;
  const char *why;

  (void)state;
  assert_int_equal(password_make("wonder land", &made, &why), 0);
  assert_int_equal(password_make("wonder land", &again, &why), 0);
  assert_string_not_equal(made.s, again.s);
  assert_int_equal(password_read(made.s, made.len - 1, &p, &why), 0);
  assert_int_equal(p.scram.iterations, PASSWORD_ITERATIONS);
  crypt_only = scram_only = p;
  scram_only.crypt[0] = 0;
  crypt_only.scram.iterations = 0;
  assert_int_equal(password_check(&crypt_only, "wonder land"), 1);
  assert_int_equal(password_check(&crypt_only, "wonderland"), 0);
  assert_int_equal(password_check(&scram_only, "wonder land"), 1);
  assert_int_equal(password_check(&scram_only, "wonder lan"), 0);
  assert_int_equal(password_make("", &made, &why), -1);
  assert_int_equal(password_make("a\nb", &made, &why), -1);
  /* two ways to write one character are one password (RFC 4013) */
  assert_int_equal(password_make("\xe2\x85\xa8", &made, &why), 0); /* the numeral IX */
  assert_int_equal(password_read(made.s, made.len - 1, &p, &why), 0);
  assert_int_equal(password_check(&p, "IX"), 1);
  /* no UTF-8: no client could say it in SCRAM */
  assert_int_equal(password_make("\xff\xfe", &made, &why), -1);
  assert_int_equal(password_check(&p, "\xff\xfe"), 0);
  stralloc_free(&made);
  stralloc_free(&again);
}

static void decoys(void **state)
{
  struct password_scram a, b, c;

  (void)state;
  assert_int_equal(password_decoy("alice", "secret", 6, 15000, &a), 0);
  assert_int_equal(password_decoy("alice", "secret", 6, 15000, &b), 0);
  assert_int_equal(password_decoy("bob", "secret", 6, 15000, &c), 0);
  assert_string_equal(a.salt, b.salt);
  assert_string_not_equal(a.salt, c.salt);
  assert_int_equal(strlen(a.salt), 24); /* as long as those of password_make() */
  assert_string_not_equal(a.stored, b.stored);
  assert_int_equal(password_decoy("alice", "other", 5, 15000, &b), 0);
  assert_string_not_equal(a.salt, b.salt);
}

static int prepare(void **state)
{
  (void)state;
  return scram_library();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(keys_of_rfc7677), cmocka_unit_test(exchange),
    cmocka_unit_test(bad_messages),    cmocka_unit_test(binding),
    cmocka_unit_test(passwords),       cmocka_unit_test(decoys),
  };

  return cmocka_run_group_tests_name("scram", tests, prepare, NULL);
}
