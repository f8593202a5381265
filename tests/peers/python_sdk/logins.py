"""Logs in through the SDK of the original, and says who the databases take it for.

Standard input is a JSON object: how to reach the Authenticator, and a list of logins. For each, a
line of JSON goes to standard output: what the database answers, or the error as an application
sees it. No password is anywhere.
"""

import asyncio
import json
import sys

import approzium
import approzium.asyncpg
import approzium.mysql.connector
import approzium.mysql.connector.pooling
import approzium.psycopg2
import approzium.psycopg2.pool
import approzium.pymysql

POSTGRES = "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
MYSQL = (
    "SELECT substring_index(current_user(), '@', 1), variable_value <> '' "
    "FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
)


def psycopg2_settings(login):
    settings = {name: login[name] for name in ("host", "port", "user")}
    if login.get("ca"):
        tls = {"sslmode": "verify-full", "sslrootcert": login["ca"]}
    else:
        tls = {"sslmode": "disable"}
    return {"dbname": "postgres", **settings, **tls}


def row(connection, query):
    cursor = connection.cursor()
    cursor.execute(query)
    return cursor.fetchone()


def psycopg2(login, authenticator):
    settings = psycopg2_settings(login)
    connection = approzium.psycopg2.connect(authenticator=authenticator, **settings)
    return row(connection, POSTGRES)


def psycopg2_pool(login, authenticator):
    settings = psycopg2_settings(login)
    pool = approzium.psycopg2.pool.ThreadedConnectionPool(
        2, 2, authenticator=authenticator, **settings
    )
    first, second = pool.getconn(), pool.getconn()
    answers = [row(first, POSTGRES), row(second, POSTGRES)]
    pool.closeall()
    assert answers[0] == answers[1], answers
    return answers[0]


def asyncpg(login, authenticator):
    import ssl

    tls = ssl.create_default_context(cafile=login["ca"]) if login.get("ca") else False

    async def ask():
        connection = await approzium.asyncpg.connect(
            host=login["host"],
            port=login["port"],
            user=login["user"],
            database="postgres",
            ssl=tls,
            authenticator=authenticator,
        )
        try:
            return tuple(await connection.fetchrow(POSTGRES))
        finally:
            await connection.close()

    return asyncio.run(ask())


def pymysql(login, authenticator):
    connection = approzium.pymysql.connect(
        host=login["host"],
        port=login["port"],
        user=login["user"],
        ssl={"ca": login["ca"]} if login.get("ca") else None,
        authenticator=authenticator,
    )
    return row(connection, MYSQL)


def mysql_connector_settings(login):
    settings = {name: login[name] for name in ("host", "port", "user")}
    if login.get("ca"):
        tls = {"ssl_ca": login["ca"], "ssl_verify_identity": True}
    else:
        tls = {"ssl_disabled": True}
    return {"use_pure": True, **settings, **tls}


def mysql_connector(login, authenticator):
    connection = approzium.mysql.connector.connect(
        authenticator=authenticator, **mysql_connector_settings(login)
    )
    return row(connection, MYSQL)


def mysql_connector_pool(login, authenticator):
    pool = approzium.mysql.connector.pooling.MySQLConnectionPool(
        pool_name="logins",
        pool_size=2,
        authenticator=authenticator,
        **mysql_connector_settings(login),
    )
    return row(pool.get_connection(), MYSQL)


DRIVERS = {
    "psycopg2": psycopg2,
    "psycopg2.pool": psycopg2_pool,
    "asyncpg": asyncpg,
    "pymysql": pymysql,
    "mysql.connector": mysql_connector,
    "mysql.connector.pooling": mysql_connector_pool,
}


def main():
    asked = json.load(sys.stdin)
    tls = asked.get("tls")
    authenticator = approzium.AuthClient(
        asked["address"],
        disable_tls=tls is None,
        tls_config=tls and approzium.TLSConfig(**tls),
        iam_role=asked.get("iam_role"),
    )
    for login in asked["logins"]:
        try:
            user, is_tls = DRIVERS[login["driver"]](login, authenticator)
            answer = {"user": user, "tls": bool(is_tls)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
