-- Sales by region and item; run from the repository's root:
--     bin/spark-sql --master MASTER -f examples/report.sql

create or replace temporary view customers (customer_id int, name string, region string, since date)
using csv options (path 'examples/data/customers.csv', header true);

create or replace temporary view orders
using csv options (path 'examples/data/orders.csv', header true, inferSchema true, escape '"');

create or replace temporary view sales as
select
  o.*,
  coalesce(c.region, 'unknown') as region,
  cast(o.quantity * cast(o.price as decimal(8, 2)) as decimal(12, 2)) as amount
from orders o left join customers c on o.customer_id = c.customer_id
where o.quantity is not null;

-- The best items of each region
select region, item, orders, amount
from (
  select
    region,
    item,
    count(*) as orders,
    sum(amount) as amount,
    row_number() over (partition by region order by sum(amount) desc) as place
  from sales
  group by region, item
)
where place <= 2
order by region, amount desc;

-- Totals with their sums; a semicolon in a string: ';'
select coalesce(region, 'all;') as region, count(*) as orders, sum(amount) as amount, grouping(region) as level
from sales
group by rollup (region)
order by level, region;

-- Customers who bought more than twice the average
with spent as (
  select customer_id, sum(amount) as amount from sales group by customer_id
)
select s.customer_id, c.name, s.amount
from spent s join customers c using (customer_id)
where s.amount > (select 1.4 * avg(amount) from spent)
order by s.amount desc;

-- Quarters
select
  concat('Q', extract(quarter from ordered)) as quarter,
  sum(case when item in ('bolt', 'gear') then quantity else 0 end) as hardware,
  sum(case when item not in ('bolt', 'gear') then quantity else 0 end) as others,
  max(note) filter (where note like '%"%') as quoted
from sales
group by quarter
order by quarter;
