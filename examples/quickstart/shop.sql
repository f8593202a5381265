CREATE TABLE products (
    id    integer PRIMARY KEY,
    name  text NOT NULL,
    price numeric(8, 2) NOT NULL,
    stock integer NOT NULL CHECK (stock >= 0)
);
CREATE TABLE orders (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id integer NOT NULL REFERENCES products,
    customer   text NOT NULL,
    quantity   integer NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO products
SELECT n, 'product ' || n, 5 + n % 90, 1000 FROM generate_series(1, 200) AS n;
INSERT INTO orders (product_id, customer, quantity, ordered_at)
SELECT 1 + n % 200, 'customer ' || n % 331, 1 + n % 4, now() - n * interval '11 minutes'
FROM generate_series(1, 20000) AS n;

-- A report that somebody will have to make faster one day; until then it sleeps.
CREATE VIEW revenue_by_month AS
SELECT date_trunc('month', ordered_at)::date AS month, sum(quantity * price) AS revenue
FROM orders JOIN products ON products.id = product_id, pg_sleep(1.5)
GROUP BY 1 ORDER BY 1;
