"""A small shop: a list of orders in PostgreSQL, over HTTP. Run by two servers behind a proxy.

GET  /health   what the proxy and Batchwright look at
GET  /orders   all orders, one per line
POST /orders   adds the body as an order
"""

import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

BODY_MAX = 1000  # bytes of an order


def database():
    return psycopg2.connect(
        host=os.environ["DATABASE_HOST"],
        dbname="shop",
        user="shop",
        password=os.environ["DATABASE_PASSWORD"],
        connect_timeout=5,
    )


def rows(query, *values):
    connection = database()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            rows("SELECT 1")
            self.answer(200, f"{socket.gethostname()} serves schema {os.environ['SCHEMA']}\n")
        elif self.path == "/orders":
            self.answer(200, "".join(f"{text}\n" for (text,) in rows("SELECT text FROM orders ORDER BY id")))
        else:
            self.answer(404, "there is no such page\n")

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if self.path != "/orders" or not 0 < size <= BODY_MAX:
            self.answer(400, f"POST /orders takes an order of 1 to {BODY_MAX} bytes\n")
            return
        rows("INSERT INTO orders (text) VALUES (%s)", self.rfile.read(size).decode(errors="replace").strip())
        self.answer(201, "ordered\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Shop).serve_forever()
