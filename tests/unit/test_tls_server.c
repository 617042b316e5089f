/* test_tls_server.c - both ends of TLS in one process: certificates, channel binding, tickets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "common/settings.h"
#include "conf/certificates.h"
#include "conf/selfsigned.h"
#include "smtpd/tls_names.h"
#include "smtpd/tls_server.h"
#include "smtpd/tls_tickets.h"

static char where[] = "/tmp/heloise-test-tls-XXXXXX";
static SSL_CTX *client;

/* the table `certificates`, with what is in key and value */
static struct table *table_of(const char *key, const char *value)
{
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  assert_non_null(m);
  if (key)
    assert_int_equal(table_maker_add(m, "certificates", key, strlen(key), value, strlen(value)), 0);
  assert_int_equal(table_maker_add(m, "settings", "hostname", 8, "mx.example.org", 14), 0);
  assert_int_equal(table_maker_finish(m), 0);
  t = table_open(fd);
  close(fd);
  assert_non_null(t);
  return t;
}

static int set_up(void **state)
{
  struct table *t = table_of("*", SELFSIGNED_CERTIFICATE " " SELFSIGNED_KEY);
  char key[TICKET_KEY_TEXT];
  const char *bad;
  int dir;

  (void)state;
  assert_non_null(mkdtemp(where));
  dir = open(where, O_RDONLY | O_DIRECTORY);
  assert_int_equal(selfsigned_make(dir, "mx.example.org"), 0);
  certificates_load(t, dir);
  assert_int_equal(settings_load(t, &bad), 0);
  table_close(t);
  close(dir);
  assert_int_equal(tls_server_prepare(&bad), 0);
  assert_false(tls_server_is_ready());
  assert_int_equal(tls_names_load(dup(certificates_descriptor())), 0);
  assert_true(tls_server_is_ready());
  memset(key, 'a', sizeof key - 1);
  key[sizeof key - 1] = 0;
  assert_int_equal(tls_tickets_add("mx", key), 0);
  client = SSL_CTX_new(TLS_client_method());
  return client ? 0 : -1;
}

static int clean_up(void **state)
{
  static const char *const paths[] = {SELFSIGNED_CERTIFICATE, SELFSIGNED_KEY, SELFSIGNED_DIR, "."};
  char path[200];

  (void)state;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    snprintf(path, sizeof path, "%s/%s", where, paths[i]);
    remove(i == 3 ? where : path);
  }
  SSL_CTX_free(client);
  return 0;
}

/* ---- a session */

struct both {
  int fd[2];
  struct tls *server;
  SSL *client;
};

static void begin(struct both *b, int version, const char *name, SSL_SESSION *ticket)
{
  char byte = 'x', got;
  size_t n;

  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b->fd), 0);
  b->server = tls_server_start(b->fd[0], service_row(SERVICE_MX));
  b->client = SSL_new(client);
  assert_non_null(b->server);
  SSL_set_fd(b->client, b->fd[1]);
  SSL_set_max_proto_version(b->client, version);
  if (name)
    SSL_set_tlsext_host_name(b->client, name);
  if (ticket)
    SSL_set_session(b->client, ticket);
  SSL_set_connect_state(b->client);
  for (int i = 0; i < 20; i++) {
    SSL_do_handshake(b->client);
    if (tls_handshake(b->server) == TLS_DONE && SSL_is_init_finished(b->client))
      break;
  }
  assert_true(SSL_is_init_finished(b->client));
  assert_int_equal(tls_write(b->server, &byte, 1, &n), TLS_DONE);
  assert_int_equal(SSL_read(b->client, &got, 1), 1); /* the ticket comes before it */
}

static void end(struct both *b)
{
  SSL_shutdown(b->client);
  SSL_free(b->client);
  tls_end(b->server, 1);
  close(b->fd[0]);
  close(b->fd[1]);
}

static void bindings(void **state)
{
  static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  static const char label[] = "EXPORTER-Channel-Binding";
  unsigned char ours[TLS_BINDING_MAX], theirs[EVP_MAX_MD_SIZE];
  unsigned int len;
  struct both b;

  (void)state;
  for (size_t i = 0; i < 2; i++) {
    begin(&b, versions[i], NULL, NULL);
    assert_int_equal(tls_server_binding(b.server, "tls-exporter", ours), 32);
    assert_int_equal(SSL_export_keying_material(b.client, theirs, 32, label, strlen(label), NULL, 0, 1), 1);
    assert_memory_equal(ours, theirs, 32);
    assert_int_equal(tls_server_binding(b.server, "tls-server-end-point", ours), 32);
    X509_digest(SSL_get0_peer_certificate(b.client), EVP_sha256(), theirs, &len);
    assert_memory_equal(ours, theirs, 32);
    assert_int_equal(tls_server_binding(b.server, "tls-nothing", ours), -1);
    end(&b);
  }
  assert_int_equal(tls_server_binding(NULL, "tls-exporter", ours), -1);
}

static void names(void **state)
{
  static const struct {
    const char *said, *taken; /* NULL: refused */
  } cases[] = {
    {"mx.example.org", "mx.example.org"}, {"MX.Example.ORG", "mx.example.org"}, {"a_b-c.x", "a_b-c.x"},
    {"a b", NULL}, {"a\nb", NULL}, {"\xc3\xbc.example", NULL}, {"", NULL}, {NULL, NULL}, {"a/b", NULL},
  };
  char out[256], many[400];
  struct both b;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(tls_names_clean(cases[i].said, out), cases[i].taken ? 0 : -1);
    if (cases[i].taken)
      assert_string_equal(out, cases[i].taken);
  }
  memset(many, 'x', sizeof many - 1);
  many[sizeof many - 1] = 0;
  assert_int_equal(tls_names_clean(many, out), -1);
  assert_int_equal(tls_names_clean(many + sizeof many - TLS_NAME_MAX, out), 0);

  begin(&b, TLS1_3_VERSION, "Other.Example", NULL);
  tls_server_name(b.server, out);
  assert_string_equal(out, "other.example");
  end(&b);
  begin(&b, TLS1_3_VERSION, "a\x01" "b", NULL);
  tls_server_name(b.server, out);
  assert_string_equal(out, "");
  end(&b);
}

static void add_key(int c)
{
  char key[TICKET_KEY_TEXT];

  memset(key, c, sizeof key - 1);
  key[sizeof key - 1] = 0;
  assert_int_equal(tls_tickets_add("mx", key), 0);
}

/* good for two turns of the keys */
static void tickets(void **state)
{
  SSL_SESSION *ticket;
  struct both b;

  (void)state;
  assert_int_equal(tls_tickets_add("mx", "abc"), -1);
  assert_int_equal(tls_tickets_add("pop3", ""), -1);
  for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
    begin(&b, v, NULL, NULL);
    assert_false(SSL_session_reused(b.client));
    ticket = SSL_get1_session(b.client);
    end(&b);
    for (int turn = 0; turn < 4; turn++) {
      begin(&b, v, NULL, ticket);
      assert_int_equal(SSL_session_reused(b.client), turn < 3);
      end(&b);
      add_key('b' + turn);
    }
    SSL_SESSION_free(ticket);
  }
}

/* a bundle that is none takes nothing away from sessions; without a certificate there are none */
static void no_certificates(void **state)
{
  int fd = memfd_create("bundle", MFD_CLOEXEC);
  static const char junk[] = "a b\n5 5\nxxxxxyyyyy";
  struct both b;

  (void)state;
  begin(&b, TLS1_3_VERSION, NULL, NULL);
  assert_int_equal(write(fd, junk, sizeof junk - 1), (ssize_t)sizeof junk - 1);
  assert_int_equal(tls_names_load(fd), -1);
  assert_false(tls_server_is_ready());
  assert_null(tls_server_start(b.fd[0], service_row(SERVICE_MX)));
  assert_int_equal(SSL_write(b.client, "x", 1), 1);
  end(&b);
  assert_int_equal(tls_names_load(dup(certificates_descriptor())), 0);
}

static void files(void **state)
{
  char file[2][PATH_MAX];

  (void)state;
  assert_int_equal(certificates_files("a b", 3, file), 0);
  assert_string_equal(file[0], "a");
  assert_string_equal(file[1], "b");
  assert_int_equal(certificates_files("a \t b", 5, file), 0);
  assert_int_equal(certificates_files("a", 1, file), -1);
  assert_int_equal(certificates_files("a b c", 5, file), -1);
  assert_int_equal(certificates_files("", 0, file), -1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(bindings), cmocka_unit_test(names), cmocka_unit_test(tickets),
    cmocka_unit_test(no_certificates), cmocka_unit_test(files),
  };

  return cmocka_run_group_tests_name("tls_server", tests, set_up, clean_up);
}
