# What workflows/terraform.ncl applies and, on a rollback, destroys. It needs no account and no plug-in: `terraform_data`
# is part of Terraform.

variable "greeting" {
  type    = string
  default = "hello"
}

resource "terraform_data" "greeting" {
  input = var.greeting
}

output "greeting" {
  value = terraform_data.greeting.output
}
